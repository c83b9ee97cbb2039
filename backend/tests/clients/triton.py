"""tritonclient in its four forms, as people call it: with its defaults."""

import asyncio
import contextlib
import importlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from tritonclient.utils import InferenceServerException, np_to_triton_dtype


@dataclass
class Api:
    """One client; its calls are awaited where it is one of asyncio."""

    module: Any
    client: Any
    kind: str
    model_file: Path

    @property
    def is_http(self):
        return self.kind.startswith("http")

    async def __call__(self, name, *args, **options):
        result = getattr(self.client, name)(*args, **options)
        return await result if inspect.isawaitable(result) else result

    async def ask(self, name, *args, **options):
        """What comes as a dict, which grpc has to be asked for."""
        if not self.is_http:
            options["as_json"] = True
        return await self(name, *args, **options)

    def input(self, name, array, **options):
        datatype = np_to_triton_dtype(array.dtype)
        given = self.module.InferInput(name, array.shape, datatype)
        given.set_data_from_numpy(array, **options)
        return given

    async def infer(self, model, arrays, **options):
        inputs = [self.input(name, array) for name, array in arrays.items()]
        return await self("infer", model, inputs, **options)


@contextlib.asynccontextmanager
async def open_client(kind, http, grpc, model_file):
    module = importlib.import_module(f"tritonclient.{kind}")
    address = http if kind.startswith("http") else grpc
    client = module.InferenceServerClient(address)
    yield Api(module, client, kind, Path(model_file))
    closed = client.close()
    if inspect.isawaitable(closed):
        await closed


async def echo(api, model, array, **options):
    """What the identity model `model` gives back."""
    return (await api.infer(model, {"x": array}, **options)).as_numpy("y")


def same(found, wanted):
    assert found.dtype == wanted.dtype, (found.dtype, wanted.dtype)
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    assert found.tobytes() == wanted.tobytes(), (found, wanted)


async def refused(call):
    try:
        await call
    except InferenceServerException as error:
        return str(error)
    raise AssertionError("it was not refused")


LINE = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


async def check_live_and_ready(api):
    assert await api("is_server_live") is True
    assert await api("is_server_ready") is True


async def check_model_ready(api):
    assert await api("is_model_ready", "line") is True
    assert await api("is_model_ready", "line", "1.0.0") is True
    assert await api("is_model_ready", "line", "best") is True
    assert await api("is_model_ready", "nobody") is False
    assert await api("is_model_ready", "line", "7.7.7") is False


async def check_server_metadata(api):
    server = await api.ask("get_server_metadata")
    assert server["name"] == "mlforge"
    assert "statistics" in server["extensions"]


async def check_model_metadata(api):
    model = await api.ask("get_model_metadata", "line")
    assert model["name"] == "line"
    assert set(model["versions"]) == {"1.0.0", "2.0.0"}
    (given,) = model["inputs"]
    assert (given["name"], given["datatype"]) == ("x", "FP32")
    assert [int(dim) for dim in given["shape"]] == [-1, 3]


async def check_model_config(api):
    config = await api.ask("get_model_config", "line")
    config = config if api.is_http else config["config"]
    assert config["name"] == "line"
    assert config["backend"] == "onnxruntime"
    assert config["input"][0]["data_type"] == "TYPE_FP32"
    assert [int(dim) for dim in config["output"][0]["dims"]] == [-1, 3]


async def check_repository_index(api):
    index = await api.ask("get_model_repository_index")
    models = index if api.is_http else index["models"]
    ready = {(m["name"], m["version"]) for m in models if m["state"] == "READY"}
    assert {("line", "1.0.0"), ("line", "2.0.0")} <= ready


async def check_statistics(api):
    await api.infer("counted", {"x": LINE})
    await api.infer("counted", {"x": LINE})
    found = await api.ask("get_inference_statistics", "counted")
    (model,) = found["model_stats"]
    assert int(model["inference_stats"]["success"]["count"]) >= 2
    assert int(model["inference_count"]) >= 2
    assert int(model["inference_stats"]["compute_infer"]["ns"]) > 0
    everything = await api.ask("get_inference_statistics")
    assert len(everything["model_stats"]) > 3


async def check_infer(api):
    same((await api.infer("line", {"x": LINE})).as_numpy("y"), 3 * LINE + 1)


async def check_two_inputs_and_chosen_outputs(api):
    arrays = {
        "a": np.ones((2, 2), np.float32),
        "b": np.array([[2, 3], [2**60, -1]], np.int64),
    }
    everything = await api.infer("pair", arrays)
    assert everything.as_numpy("total").shape == (2, 2)
    chosen = [api.module.InferRequestedOutput("product")]
    result = await api.infer("pair", arrays, outputs=chosen)
    same(result.as_numpy("product"), arrays["b"] * arrays["b"])
    assert result.as_numpy("total") is None


async def check_versions_and_aliases(api):
    for version, factor in (("1.0.0", 2), ("2.0.0", 3), ("best", 2), ("", 3)):
        result = await api.infer("line", {"x": LINE}, model_version=version)
        same(result.as_numpy("y"), factor * LINE + 1)


async def check_the_request_id_comes_back(api):
    result = await api.infer("line", {"x": LINE}, request_id="call-7")
    response = result.get_response()
    assert (response["id"] if api.is_http else response.id) == "call-7"


async def check_json_both_ways(api):
    if not api.is_http:
        return
    given = api.input("x", LINE, binary_data=False)
    outputs = [api.module.InferRequestedOutput("y", binary_data=False)]
    result = await api("infer", "line", [given], outputs=outputs)
    assert "data" in result.get_response()["outputs"][0]
    same(result.as_numpy("y"), 3 * LINE + 1)


async def check_json_and_binary_mixed(api):
    if not api.is_http:
        return
    a = np.ones((1, 2), np.float32)
    b = np.array([[5, 6]], np.int64)
    inputs = [api.input("a", a, binary_data=False), api.input("b", b)]
    outputs = [
        api.module.InferRequestedOutput("total"),
        api.module.InferRequestedOutput("product", binary_data=False),
    ]
    result = await api("infer", "pair", inputs, outputs=outputs)
    same(result.as_numpy("total"), np.array([[6, 7]], np.float32))
    same(result.as_numpy("product"), np.array([[25, 36]], np.int64))


async def check_compression(api):
    large = np.tile(LINE, (4000, 1))
    for algorithm in ("gzip", "deflate"):
        names = ("compression_algorithm",)
        if api.is_http:
            names = ("request_compression_algorithm", "response_compression_algorithm")
        options = dict.fromkeys(names, algorithm)
        result = await api.infer("line", {"x": large}, **options)
        same(result.as_numpy("y"), 3 * large + 1)


async def check_integers_and_floats(api):
    for kind in (
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
    ):
        limits = np.iinfo(kind)
        array = np.array([limits.min, 0, limits.max], kind)
        same(await echo(api, kind, array), array)
    for kind in ("float32", "float64"):
        array = np.array([0.1, -0.0, np.finfo(kind).max, np.finfo(kind).tiny / 2], kind)
        same(await echo(api, kind, array), array)


async def check_fp16(api):
    array = np.array([0.5, -65504, 6e-8], np.float16)
    same(await echo(api, "float16", array), array)


async def check_bf16(api):
    array = np.array([0.5, -3e38, 1e-38], ml_dtypes.bfloat16)
    same(await echo(api, "bfloat16", array), array)


async def check_bool(api):
    array = np.array([True, False, True])
    same(await echo(api, "bool", array), array)


async def check_bytes(api):
    words = [b"", b"plain", "ü€😀".encode(), b"\xff\x00\xfe"]
    found = await echo(api, "string", np.array(words, object))
    assert found.tolist() == words


async def check_bytes_as_json(api):
    if not api.is_http:
        return
    given = api.input("x", np.array(["", "ü"], object), binary_data=False)
    outputs = [api.module.InferRequestedOutput("y", binary_data=False)]
    result = await api("infer", "string", [given], outputs=outputs)
    assert result.as_numpy("y").tolist() == ["", "ü"]


async def check_empty_tensors(api):
    same(await echo(api, "float32", np.empty(0, np.float32)), np.empty(0, np.float32))
    found = await echo(api, "string", np.empty(0, object))
    assert found.shape == (0,)


async def check_a_scalar(api):
    array = np.array(3, np.float32)
    found = await echo(api, "square", array)
    assert found.shape == ()
    assert found == 9


async def check_nan_and_infinities(api):
    array = np.array([np.nan, np.inf, -np.inf, -0.0], np.float32)
    same(await echo(api, "float32", array), array)
    if api.is_http:
        outputs = [api.module.InferRequestedOutput("y", binary_data=False)]
        found = await echo(api, "float32", array, outputs=outputs)
        assert np.array_equal(found, array, equal_nan=True)


async def check_class_labels(api):
    outputs = [api.module.InferRequestedOutput("y", class_count=2)]
    result = await api.infer(
        "float32", {"x": np.array([3, 9, 1], np.float32)}, outputs=outputs
    )
    assert [word.split(b":")[1] for word in result.as_numpy("y").tolist()] == [
        b"1",
        b"0",
    ]


async def check_a_zipmap_is_a_tensor(api):
    result = await api.infer("zip", {"X": np.ones((3, 2), np.float32)})
    found = result.as_numpy("probabilities")
    assert (found.dtype, found.shape) == (np.float32, (3, 2))


async def check_unload_and_load(api):
    name = f"toggled-{api.kind}"
    await api(
        "load_model",
        name,
        config="{}",
        files={"file:1/model.onnx": api.model_file.read_bytes()},
    )
    assert await api("is_model_ready", name)
    await api("unload_model", name)
    assert not await api("is_model_ready", name)
    said = await refused(api.infer(name, {"x": LINE}))
    assert ("503" if api.is_http else "UNAVAILABLE") in said, said
    await api("load_model", name)
    assert await api("is_model_ready", name)
    same((await api.infer(name, {"x": LINE})).as_numpy("y"), 3 * LINE + 1)


async def check_errors_are_told_in_words(api):
    said = await refused(api.infer("nobody", {"x": LINE}))
    assert "nobody" in said, said
    said = await refused(api.infer("line", {"z": LINE}))
    assert '"z"' in said, said
    said = await refused(api.infer("line", {"x": LINE.astype(np.float64)}))
    assert "FP32" in said, said
    said = await refused(api.infer("line", {"x": LINE[:, :2].copy()}))
    assert "[N, 3]" in said, said
    said = await refused(api("unload_model", "nobody"))
    assert "nobody" in said, said


async def check_parameters_and_timeout(api):
    result = await api.infer(
        "line", {"x": LINE}, parameters={"anything": 1}, priority=1, timeout=5_000_000
    )
    same(result.as_numpy("y"), 3 * LINE + 1)


async def check_many_at_once(api):
    if api.kind == "http":
        inputs = [api.input("x", LINE)]
        handles = [api.client.async_infer("line", inputs) for _ in range(8)]
        results = [handle.get_result() for handle in handles]
    elif api.kind == "grpc":
        loop = asyncio.get_running_loop()
        done = [loop.create_future() for _ in range(8)]

        def told(future):
            return lambda result, error: loop.call_soon_threadsafe(
                future.set_result, error or result
            )

        for future in done:
            api.client.async_infer("line", [api.input("x", LINE)], told(future))
        results = await asyncio.gather(*done)
    else:
        calls = [api.infer("line", {"x": LINE}) for _ in range(8)]
        results = await asyncio.gather(*calls)
    for result in results:
        same(result.as_numpy("y"), 3 * LINE + 1)


async def check_a_stream(api):
    if api.is_http:
        return
    models = ("line", "nobody", "line")
    if api.kind == "grpc":
        loop = asyncio.get_running_loop()
        found = asyncio.Queue()

        def told(result, error):
            loop.call_soon_threadsafe(found.put_nowait, (result, error))

        api.client.start_stream(told)
        for at, model in enumerate(models):
            api.client.async_stream_infer(
                model, [api.input("x", LINE)], request_id=str(at)
            )
        answers = [await asyncio.wait_for(found.get(), 20) for _ in models]
        await asyncio.to_thread(api.client.stop_stream)
    else:

        async def requests():
            for at, model in enumerate(models):
                inputs = [api.input("x", LINE)]
                yield {"model_name": model, "inputs": inputs, "request_id": str(at)}

        answers = [answer async for answer in api.client.stream_infer(requests())]
    assert [error is None for _result, error in answers] == [True, False, True]
    assert "nobody" in str(answers[1][1])
    same(answers[2][0].as_numpy("y"), 3 * LINE + 1)
    assert answers[2][0].get_response().id == "2"
