"""One core: what is wrong is wrong in the same words through each door."""

import json
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from app.codecs.oip_tensors import to_raw
from tests import graphs
from tests.calls import upload
from tests.rpc.conftest import Served
from tests.rpc.stub import infer_request

Inputs = dict[str, np.ndarray[Any, Any]]
HEADER = "inference-header-content-length"


@dataclass(frozen=True)
class Wrong:
    name: str
    model: str
    inputs: Inputs
    code: str
    # Over the protocol "not ready" is 503, since a caller may try again.
    statuses: tuple[int, int]

    def __str__(self) -> str:
        return self.name


GOOD: Inputs = {"x": np.zeros((1, 3), np.float32)}
CASES = [
    Wrong("unknown model", "nobody", GOOD, "model_not_found", (404, 404)),
    Wrong("bad name", "-x", GOOD, "invalid_field", (422, 400)),
    Wrong("pending model", "later", GOOD, "model_not_ready", (409, 503)),
    Wrong("missing input", "line", {}, "invalid_input", (400, 400)),
    Wrong(
        "unknown input",
        "line",
        GOOD | {"z": np.zeros(1, np.float32)},
        "invalid_input",
        (400, 400),
    ),
    Wrong(
        "wrong width",
        "line",
        {"x": np.zeros((1, 2), np.float32)},
        "invalid_input",
        (400, 400),
    ),
    Wrong(
        "wrong rank",
        "line",
        {"x": np.zeros(3, np.float32)},
        "invalid_input",
        (400, 400),
    ),
]


@pytest.fixture
async def models(served: Served) -> None:
    await upload(served.client, graphs.affine(), name="line")
    await served.client.post("/api/v1/models", json={"name": "later"})


async def through_api(served: Served, case: Wrong) -> tuple[int, str]:
    data = {name: array.tolist() for name, array in case.inputs.items()}
    path = f"/api/v1/models/{case.model}/predict"
    return _seen(await served.client.post(path, json={"input_data": data}))


async def through_json(served: Served, case: Wrong) -> tuple[int, str]:
    inputs = [
        {"name": n, "datatype": "FP32", "shape": a.shape, "data": a.ravel().tolist()}
        for n, a in case.inputs.items()
    ]
    path = f"/v2/models/{case.model}/infer"
    return _seen(await served.client.post(path, json={"inputs": inputs}))


async def through_binary(served: Served, case: Wrong) -> tuple[int, str]:
    blobs = [to_raw(array) for array in case.inputs.values()]
    inputs = [
        {
            "name": name,
            "datatype": "FP32",
            "shape": array.shape,
            "parameters": {"binary_data_size": len(blob)},
        }
        for (name, array), blob in zip(case.inputs.items(), blobs, strict=True)
    ]
    head = json.dumps({"inputs": inputs}).encode()
    return _seen(
        await served.client.post(
            f"/v2/models/{case.model}/infer",
            content=b"".join([head, *map(bytes, blobs)]),
            headers={HEADER: str(len(head))},
        )
    )


async def through_grpc(served: Served, case: Wrong) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.stub("ModelInfer", infer_request(case.model, case.inputs))
    trailers = dict(caught.value.trailing_metadata() or ())
    return caught.value.code(), str(trailers["x-error-code"])


def _seen(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.usefixtures("models")
async def test_an_error_has_one_code_through_each_door(
    served: Served, case: Wrong
) -> None:
    api, oip = case.statuses
    assert await through_api(served, case) == (api, case.code)
    assert await through_json(served, case) == (oip, case.code)
    assert await through_binary(served, case) == (oip, case.code)
    status, code = await through_grpc(served, case)
    assert code == case.code
    assert status is not grpc.StatusCode.INTERNAL
    assert status is not grpc.StatusCode.UNKNOWN
