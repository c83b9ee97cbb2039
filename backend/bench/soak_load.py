"""The callers of a soak, and what changes the models under them."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import grpc.aio
import httpx
import numpy as np
import orjson

from app.cli.bench.requests import GRPC_PATH
from app.rpc.generated import open_inference_pb2 as pb
from bench.talk import Talker
from tests import graphs

WIDTH = 3
MOST_WRONG = 20  # Kept word for word; a soak that is that wrong has ended.
KNOWN_INPUTS = 8  # Of so many values, half of the calls take one: the cache's share.


@dataclass
class Model:
    """Answers k * x + 1. Whoever changes it waits until nobody is asking."""

    name: str
    k: float
    callers: int = 0
    changing: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class Soak:
    def __init__(self, url: str, grpc_target: str, models: int) -> None:
        self.answered: Counter[str] = Counter()
        self.changes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._url, self._grpc_target = url, grpc_target
        self._port = urlsplit(url).port or 80
        self._models = [Model(f"m{at}", float(at + 2)) for at in range(models)]
        self._next_k = float(models + 2)
        self._chance = random.Random(1)

    @asynccontextmanager
    async def opened(self, callers: int) -> AsyncIterator[None]:
        """Connections, and every model uploaded once."""
        async with AsyncExitStack() as stack:
            self._control = await stack.enter_async_context(
                httpx.AsyncClient(base_url=self._url, timeout=60)
            )
            channel = await stack.enter_async_context(
                grpc.aio.insecure_channel(self._grpc_target)
            )
            self._call = channel.unary_unary(
                GRPC_PATH, response_deserializer=pb.ModelInferResponse.FromString
            )
            for model in self._models:
                await self._upload(model)
            # Only now: a server closes connections that idle for long.
            self._talkers = [await Talker.connect(self._port) for _ in range(callers)]
            for talker in self._talkers:
                stack.push_async_callback(talker.close)
            yield

    async def run(self, ending: float) -> None:
        async with asyncio.TaskGroup() as group:
            for talker in self._talkers:
                group.create_task(self._call_on(talker, ending))
            group.create_task(self._change(ending))

    async def _call_on(self, talker: Talker, ending: float) -> None:
        loop = asyncio.get_running_loop()
        ways = (self._v1, self._v2, self._binary, self._grpc)
        while loop.time() < ending and len(self.wrong) < MOST_WRONG:
            way, model = self._chance.choice(ways), self._chance.choice(self._models)
            if model.changing:
                await asyncio.sleep(0)
                continue
            model.callers += 1
            try:
                await self._check(way.__name__.strip("_"), way, talker, model)
            finally:
                model.callers -= 1
                model.idle.set()

    async def _check(self, name: str, way: Any, talker: Talker, model: Model) -> None:
        values = self._values()
        try:
            got = await way(talker, model.name, values)
        except Refused as refused:
            self.wrong.append(f"{name} {model.name}: {refused}")
            return
        wanted = np.float32(model.k) * values + np.float32(1)
        if not np.array_equal(got, wanted):
            self.wrong.append(f"{name} {model.name}: {got} instead of {wanted}")
        self.answered[name] += 1

    def _values(self) -> "np.ndarray[Any, np.dtype[np.float32]]":
        if self._chance.random() < 0.5:
            return np.full(WIDTH, self._chance.randrange(KNOWN_INPUTS), np.float32)
        return np.array([self._chance.random() for _ in range(WIDTH)], np.float32)

    async def _v1(self, talker: Talker, name: str, values: Any) -> Any:
        body = {"input_data": {"x": [values.tolist()]}}
        path = f"/api/v1/models/{name}/predict"
        document = await _json(talker, path, body)
        return np.array(document["output_data"]["y"][0], np.float32)

    async def _v2(self, talker: Talker, name: str, values: Any) -> Any:
        body = {"inputs": [_tensor(data=values.tolist())]}
        document = await _json(talker, f"/v2/models/{name}/infer", body)
        return np.array(document["outputs"][0]["data"], np.float32)

    async def _binary(self, talker: Talker, name: str, values: Any) -> Any:
        head = orjson.dumps(
            {
                "parameters": {"binary_data_output": True},
                "inputs": [_tensor(parameters={"binary_data_size": values.nbytes})],
            }
        )
        headers = {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(len(head)),
        }
        path = f"/v2/models/{name}/infer"
        said = await talker.post(path, head + values.tobytes(), headers)
        if said.status != 200:
            raise Refused(f"{said.status} {said.body[:200]!r}")
        at = int(said.headers["inference-header-content-length"])
        return np.frombuffer(said.body[at:], np.float32)

    async def _grpc(self, _talker: Talker, name: str, values: Any) -> Any:
        request = pb.ModelInferRequest(model_name=name)
        request.inputs.add(name="x", datatype="FP32", shape=[1, WIDTH])
        request.raw_input_contents.append(values.tobytes())
        try:
            answer = await self._call(request.SerializeToString(), timeout=30)
        except grpc.aio.AioRpcError as error:
            raise Refused(f"{error.code().name} {error.details()}") from None
        return np.frombuffer(answer.raw_output_contents[0], np.float32)

    async def _change(self, ending: float) -> None:
        """One model after the other: unloaded and loaded, every fourth replaced."""
        loop = asyncio.get_running_loop()
        while loop.time() < ending and len(self.wrong) < MOST_WRONG:
            model = self._chance.choice(self._models)
            model.changing = True
            try:
                while model.callers:
                    model.idle.clear()
                    await asyncio.wait_for(model.idle.wait(), 60)
                await self._change_one(model)
            finally:
                model.changing = False

    async def _change_one(self, model: Model) -> None:
        if self._chance.random() < 0.25:
            await self._replace(model)
            self.changes["replaced"] += 1
            return
        for word in ("unload", "load"):
            path = f"/v2/repository/models/{model.name}/{word}"
            (await self._control.post(path, json={})).raise_for_status()
            self.changes[f"{word}ed"] += 1

    async def _replace(self, model: Model) -> None:
        """By a version of the same number, so that the registry stays as large."""
        path = f"/api/v1/models/{model.name}"
        (await self._control.delete(path)).raise_for_status()
        model.k, self._next_k = self._next_k, self._next_k + 1
        await self._upload(model)

    async def _upload(self, model: Model) -> None:
        answer = await self._control.post(
            "/api/v1/models/upload",
            files={"file": ("m.onnx", graphs.affine(model.k, width=WIDTH))},
            data={"name": model.name, "version": "1.0.0"},
        )
        answer.raise_for_status()


class Refused(Exception):
    """A call that should have been answered was not."""


async def _json(talker: Talker, path: str, body: object) -> Any:
    headers = {"Content-Type": "application/json"}
    said = await talker.post(path, orjson.dumps(body), headers)
    if said.status != 200:
        raise Refused(f"{said.status} {said.body[:200]!r}")
    return orjson.loads(said.body)


def _tensor(**fields: object) -> dict[str, object]:
    return {"name": "x", "datatype": "FP32", "shape": [1, WIDTH], **fields}
