"""gRPC load whose requests never repeat, by `mlforge bench`'s own generator.

h2load would be lighter but sends one body for ever, which a cache answers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from app.cli.bench.load import Limits
from app.cli.bench.requests import GRPC_PATH, Place, Protocol, Requests, make_requests
from app.cli.bench.run import Door, Job, run_job
from app.cli.bench.target import parse_url
from app.cli.bench.tensors import Inputs, Tensor
from app.cli.bench.variation import variation_of
from app.rpc.generated import open_inference_pb2 as pb
from bench import answers
from bench.answers import NUMPY
from bench.figures import Figures, of_latencies
from bench.payloads import DATATYPES, TEMPLATES, Array, make_inputs

_APART = 1_000_000


@dataclass
class GrpcLoad:
    """Calls of one server's model, which goes by `name` there."""

    target: str
    path: Path
    name: str = "bench"
    _loads: int = 0
    _made: Requests | None = None

    @property
    def requests(self) -> Requests:
        if self._made is None:
            place = Place(self.target, "", self.name)
            made = [_inputs(self.path.stem, seed) for seed in range(TEMPLATES)]
            self._made = make_requests(Protocol.GRPC, place, made, cached=False)
        return self._made

    def measure(self, connections: int, seconds: float) -> Figures:
        self._loads += 1
        job = Job(
            Door(Protocol.GRPC, parse_url(self.target), ()),
            self.requests,
            Limits(seconds, 30),
            connections,
            self._loads * _APART,
        )
        outcome = run_job(job)
        return of_latencies(outcome.latencies_s, outcome.took_s, outcome.errors)

    def check(self) -> None:
        with grpc.insecure_channel(self.target) as channel:
            call = channel.unary_unary(
                GRPC_PATH, response_deserializer=pb.ModelInferResponse.FromString
            )
            for at in range(TEMPLATES):
                message = self.requests.write(at)[5:]
                request = pb.ModelInferRequest.FromString(message)
                sent = _arrays(request.inputs, request.raw_input_contents)
                wanted = answers.expected(self.path, sent)
                answer = call(message, timeout=30)
                got = _arrays(answer.outputs, answer.raw_output_contents)
                answers.compare(got or _typed(answer), wanted)


def _inputs(model: str, seed: int) -> Inputs:
    arrays = make_inputs(model, seed)
    tensors = [
        Tensor(name, DATATYPES[str(array.dtype)], array)
        for name, array in reversed(arrays.items())
    ]
    last = tensors[-1]
    return Inputs(tuple(tensors), variation_of(last.datatype, last.array, ""))


def _arrays(tensors: Iterable[Any], raws: Iterable[bytes]) -> dict[str, Array]:
    """Nothing where the contents are typed instead of raw."""
    return {
        tensor.name: np.frombuffer(raw, NUMPY[tensor.datatype]).reshape(
            tuple(tensor.shape)
        )
        for tensor, raw in zip(tensors, raws, strict=False)
    }


def _typed(answer: pb.ModelInferResponse) -> dict[str, Array]:
    """Of servers that answer with typed contents."""
    found = {}
    for tensor in answer.outputs:
        field = "fp32_contents" if tensor.datatype == "FP32" else "int64_contents"
        values = np.array(getattr(tensor.contents, field), NUMPY[tensor.datatype])
        found[tensor.name] = values.reshape(tuple(tensor.shape))
    return found
