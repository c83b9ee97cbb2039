"""Files of real data, scored by real deployments: each row has what ONNX Runtime itself
gives for it."""

import json
from pathlib import Path

import httpx

from tests.codecs import tabular
from tests.conftest import StartServer
from tests.e2e.file_site import ENDED, JOBS, SOON_S, Site
from tests.exports import Export, load_export
from tests.processes import wait_until
from tests.services.file_results import ROWS, check_result, columns_of, drawn

EXPORTS = (
    "sklearn_wine_string_labels",
    "sklearn_diabetes_regressor",
    "sklearn_breast_cancer_int_labels",
)
FORMATS = {
    tabular.CSV: "csv",
    tabular.NDJSON: "ndjson",
    tabular.PARQUET: "parquet",
    tabular.ARROW: "arrow",
}
CHUNK_ROWS = 120


def test_a_server_alone_scores_every_format(start_server: StartServer) -> None:
    check_every_format(start_server(job_sweep_s=0.3).url)


def test_two_workers_score_every_format(tmp_path: Path) -> None:
    site = Site(tmp_path, {})
    try:
        workers = [site.start_worker(), site.start_worker()]
        # Both have started before there is something to do.
        owners = [worker.owner for worker in workers]
        check_every_format(site.server.url)
        parts = site.ask("SELECT string_agg(part, ' ') FROM job_chunks")
        assert all(owner[:8] in parts for owner in owners)
    finally:
        site.close()


def check_every_format(url: str) -> None:
    """All of the jobs are there at once."""
    with httpx.Client(base_url=url, timeout=60) as client:
        exports = [load_export(name) for name in EXPORTS]
        for export in exports:
            upload(client, export)
        places = [
            (export, media_type, submit(client, export, media_type))
            for export in exports
            for media_type in FORMATS
        ]
        for export, media_type, place in places:
            check(client, place, media_type, export)


def upload(client: httpx.Client, export: Export) -> None:
    names = json.dumps({"feature_names": export.feature_names})
    client.post(
        "/api/v1/models/upload",
        files={"file": ("model.onnx", export.path.read_bytes())},
        data={"name": export.name, "metadata": names},
    ).raise_for_status()


def submit(client: httpx.Client, export: Export, media_type: str) -> str:
    table = {**columns_of(export, drawn(export)), "id": list(range(ROWS))}
    body = tabular.encoded(table, media_type)
    taken = client.post(
        JOBS,
        files={"file": (f"rows.{FORMATS[media_type]}", body)},
        data={"model_id": export.name, "chunk_rows": str(CHUNK_ROWS)},
    )
    assert taken.status_code == 201, taken.text
    return f"{JOBS}/{taken.json()['id']}"


def check(client: httpx.Client, place: str, media_type: str, export: Export) -> None:
    wait_until(
        lambda: client.get(place).json()["status"] in ENDED,
        "the job's end",
        timeout_s=SOON_S,
    )
    result = client.get(f"{place}/result")
    assert result.status_code == 200, result.text
    assert result.headers["Content-Type"].startswith(media_type)
    check_result(result.content, media_type, export)
