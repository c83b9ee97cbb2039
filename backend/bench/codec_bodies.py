"""The same numbers in each wire form."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from app.codecs.base import Answer, Asked, Codec, Encoded, Target
from app.codecs.file_options import FileOptions
from app.codecs.json_values import OPTIONS
from app.codecs.media_types import ENCODERS, JSON, codec_for
from app.codecs.oip_binary import OipBinary
from app.codecs.oip_json import OipJSON
from app.codecs.predict_json import PredictJSON
from app.engine.signature import Dim, Signature, ValueSpec
from app.engine.value_types import parse_type
from app.engine.values import Array
from app.rpc.codec import OipProto, parse_infer
from app.rpc.generated import open_inference_pb2 as pb

COLUMNS = 18
NAMES = tuple(f"feature_{at}" for at in range(COLUMNS))
_FLOAT = parse_type("float32")
_LIMIT_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Form:
    """One wire form, and a request in it."""

    name: str
    codec: Codec
    body: bytes


class Proto:
    """gRPC's codec is made of the parsed message: parsing it is part of the cost."""

    def decode(self, body: bytes, target: Target) -> Asked:
        return OipProto(parse_infer(body)).decode(body, target)

    def encode(self, answer: Answer) -> Encoded:
        return OipProto(pb.ModelInferRequest()).encode(answer)


def numbers(shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def target(shape: tuple[Dim, ...], names: tuple[str, ...] | None = None) -> Target:
    signature = Signature(
        (ValueSpec("x", _FLOAT, shape),), (ValueSpec("y", _FLOAT, shape),)
    )
    return Target("id", "bench", "1.0.0", signature, names)


def tensor_json(array: Array) -> bytes:
    return orjson.dumps({"input_data": {"x": array}}, option=OPTIONS)


def tensor_forms(array: Array) -> Iterator[Form]:
    raw = array.tobytes()
    described = {"name": "x", "shape": array.shape, "datatype": "FP32"}
    yield Form("/api/v1 JSON", PredictJSON(), tensor_json(array))
    listed = {"inputs": [{**described, "data": array.reshape(-1)}]}
    yield Form("/v2 JSON", OipJSON(), orjson.dumps(listed, option=OPTIONS))
    head = orjson.dumps(
        {
            "inputs": [{**described, "parameters": {"binary_data_size": len(raw)}}],
            "parameters": {"binary_data_output": True},
        }
    )
    yield Form("/v2 binary", OipBinary(len(head)), head + raw)
    request = pb.ModelInferRequest(model_name="bench", raw_input_contents=[raw])
    request.inputs.add(name="x", shape=array.shape, datatype="FP32")
    yield Form("gRPC", Proto(), request.SerializeToString())


def table_forms(array: Array) -> Iterator[Form]:
    rows = [dict(zip(NAMES, row, strict=True)) for row in array.tolist()]
    yield Form("JSON", PredictJSON(), orjson.dumps({"rows": rows}))
    for media_type in ENCODERS:
        if media_type != JSON:
            codec = codec_for(media_type, media_type, FileOptions(_LIMIT_BYTES))
            yield Form(media_type, codec, _file(array, media_type))


def _file(array: Array, media_type: str) -> bytes:
    out = io.BytesIO()
    table = pa.table(dict(zip(NAMES, array.T, strict=True)))
    if "csv" in media_type:
        pyarrow.csv.write_csv(table, out)
    elif "ndjson" in media_type:
        for row in table.to_pylist():
            out.write(orjson.dumps(row) + b"\n")
    elif "parquet" in media_type:
        pyarrow.parquet.write_table(table, out)
    elif "arrow" in media_type:
        with pa.ipc.new_stream(out, table.schema) as stream:
            stream.write_table(table)
    else:
        np.savez(out, x=array)
    return out.getvalue()
