"""Which body is read by what, which answer is written by what, and who chooses."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from app.codecs import arrow_rows, csv_rows, ndjson_rows, npz_tensors, parquet_rows
from app.codecs.base import Codec, Crossed, Decoder, Encoder
from app.codecs.file_options import FileOptions
from app.codecs.predict_json import PredictJSON
from app.errors import NotAcceptable, UnsupportedMediaType

JSON: Final = "application/json"

DECODERS: Final[Mapping[str, Callable[[FileOptions], Decoder]]] = {
    JSON: lambda _: PredictJSON(),
    ndjson_rows.MEDIA_TYPE: ndjson_rows.NDJSONRows,
    csv_rows.MEDIA_TYPE: csv_rows.CSVRows,
    arrow_rows.MEDIA_TYPE: arrow_rows.ArrowRows,
    parquet_rows.MEDIA_TYPE: parquet_rows.ParquetRows,
    npz_tensors.MEDIA_TYPE: npz_tensors.NPZTensors,
}
# The first is what a caller gets who does not mind.
ENCODERS: Final[Mapping[str, Encoder]] = {
    JSON: PredictJSON(),
    ndjson_rows.MEDIA_TYPE: ndjson_rows.NDJSONAnswer(),
    csv_rows.MEDIA_TYPE: csv_rows.CSVAnswer(),
    arrow_rows.MEDIA_TYPE: arrow_rows.ArrowAnswer(),
    parquet_rows.MEDIA_TYPE: parquet_rows.ParquetAnswer(),
    npz_tensors.MEDIA_TYPE: npz_tensors.NPZAnswer(),
}
_NAMES: Final = ", ".join(ENCODERS)
_UTF8: Final = {"utf-8", "utf8", "us-ascii"}


def codec_for(body_type: str, answer_type: str, options: FileOptions) -> Codec:
    return Crossed(DECODERS[body_type](options), ENCODERS[answer_type])


@lru_cache(maxsize=64)
def body_type_of(content_type: str) -> str:
    """One of DECODERS; a body without a type is taken for JSON.

    Raises UnsupportedMediaType naming what is taken.
    """
    given, parameters = parsed_type(content_type)
    if not given:
        return JSON
    if given not in DECODERS:
        raise UnsupportedMediaType(
            f"Content-Type {given[:100]} is not taken here; send one of {_NAMES} "
            f"(curl: -H 'Content-Type: {JSON}')."
        )
    charset = parameters.get("charset", "utf-8").lower()
    if given == csv_rows.MEDIA_TYPE and charset not in _UTF8:
        raise UnsupportedMediaType(
            f"The charset {charset[:100]} is not taken here; send UTF-8."
        )
    return given


@lru_cache(maxsize=64)
def answer_type_of(accept: str) -> str:
    """The one of ENCODERS that the caller likes best.

    Raises NotAcceptable naming what is given.
    """
    return best_of(accept, tuple(ENCODERS))


def best_of(accept: str, offered: Sequence[str]) -> str:
    """The one that `Accept` likes best: by quality, then by how exactly it is named,
    then by its place in the header. The first where the caller does not mind.

    Raises NotAcceptable naming what is offered.
    """
    ranges = [
        _Range(*parsed_type(part), place=at)
        for at, part in enumerate(accept.split(","))
    ]
    ranges = [one for one in ranges if one.name]
    if not ranges:
        return offered[0]
    best: tuple[float, int, int] = (0, 0, 0)
    chosen = None
    for media_type in offered:
        matching = [one for one in ranges if one.matches(media_type)]
        if not matching:
            continue
        closest = max(matching, key=lambda one: one.exactness)
        rank = (closest.quality, closest.exactness, -closest.place)
        if closest.quality > 0 and (chosen is None or rank > best):
            chosen, best = media_type, rank
    if chosen is None:
        raise NotAcceptable(
            f"The answer comes as one of {', '.join(offered)}; accept one of them."
        )
    return chosen


class _Range(NamedTuple):
    name: str
    parameters: dict[str, str]
    place: int

    def matches(self, media_type: str) -> bool:
        whole, _, part = self.name.partition("/")
        if part == "*":
            return whole in {"*", media_type.partition("/")[0]}
        return self.name == media_type

    @property
    def exactness(self) -> int:
        return 2 - self.name.count("*")

    @property
    def quality(self) -> float:
        """A weight that is no number from 0 to 1 is as none."""
        try:
            quality = float(self.parameters.get("q", "1"))
        except ValueError:
            return 1.0
        return quality if 0 <= quality <= 1 else 1.0


def parsed_type(value: str) -> tuple[str, dict[str, str]]:
    name, *parameters = value.split(";")
    pairs = (parameter.partition("=") for parameter in parameters)
    return name.strip().lower(), {
        key.strip().lower(): given.strip().strip('"') for key, _, given in pairs
    }
