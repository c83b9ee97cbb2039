import pytest

from app.datasets.base import Kind
from app.datasets.kinds import kind_of
from app.enums import Compression, FileFormat
from app.errors import UnsupportedMediaType

CSV = Kind(FileFormat.CSV)
NDJSON = Kind(FileFormat.NDJSON)
GZIPPED = Kind(FileFormat.CSV, Compression.GZIP)


@pytest.mark.parametrize(
    ("content_type", "name", "kind"),
    [
        (None, "rows.csv", CSV),
        ("text/csv; charset=UTF-8", None, CSV),
        ("application/octet-stream", "Rows.CSV", CSV),
        ("application/vnd.ms-excel", "rows.csv", CSV),
        ("application/x-ndjson", "rows.csv", NDJSON),
        ("text/plain", "rows.jsonl", NDJSON),
        ("application/gzip", "rows.csv.gz", GZIPPED),
        ("application/gzip", "rows.csv", GZIPPED),
        ("text/csv", "rows.csv.gz", GZIPPED),
        (None, "a.b.csv.zst", Kind(FileFormat.CSV, Compression.ZSTD)),
        (None, "rows.pq", Kind(FileFormat.PARQUET)),
        (None, "rows.feather", Kind(FileFormat.ARROW)),
        ("application/vnd.apache.arrow.file", "x", Kind(FileFormat.ARROW)),
    ],
)
def test_a_type_that_is_known_wins_over_the_name(
    content_type: str | None, name: str | None, kind: Kind
) -> None:
    assert kind_of(content_type, name) == kind


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        (None, None),
        ("application/json", "rows.json"),
        ("application/octet-stream", "rows"),
        (None, "rows.xlsx"),
        ("text/csv; charset=latin-1", "rows.csv"),
    ],
)
def test_what_no_job_reads_is_refused(
    content_type: str | None, name: str | None
) -> None:
    with pytest.raises(UnsupportedMediaType):
        kind_of(content_type, name)
