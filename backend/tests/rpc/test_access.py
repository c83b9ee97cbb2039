"""Every RPC asks for its scope; the list is the server's own."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from app.auth.limits import KeyLimits
from app.auth.principal import with_implied
from app.enums import Scope
from app.rpc.generated import open_inference_pb2 as pb
from app.rpc.server import METHODS, Methods, RpcServer
from app.rpc.service import SERVICE
from app.services.api_keys import NewKey
from tests import graphs
from tests.calls import upload
from tests.conftest import MakeSettings
from tests.keys import Guarded, guarded, sent
from tests.processes import free_port
from tests.rpc.stub import DESCRIPTION, Stub, failed, infer_request, row

OPEN = {"ServerLive", "ServerReady"}
KNOWN = {"ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig"}
CODE = grpc.StatusCode
ONE = {"x": row(1, 2).reshape(1, 2)}


@dataclass(frozen=True, slots=True)
class Served:
    guarded: Guarded
    stub: Stub
    methods: Methods

    async def metadata(
        self, *scopes: Scope, pattern: str | None = None
    ) -> tuple[tuple[str, str], ...]:
        made = await self.guarded.make(*scopes, pattern=pattern)
        return (("authorization", f"Bearer {made.token}"),)


@pytest.fixture
async def served(make_settings: MakeSettings, sqlite_dsn: str) -> AsyncIterator[Served]:
    settings = make_settings(auth="on", database_url=sqlite_dsn, grpc_port=free_port())
    async with guarded(settings) as one:
        server = RpcServer(one.runtime)
        port = await server.start()
        one.client.headers.update(sent(one.admin))
        await upload(one.client, graphs.affine(2.0, width=2), name="mine")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Served(one, Stub(channel), server.methods)
        await server.stop(0)


def request_of(name: str) -> Any:
    """A message of the method that names a model where it has a place for one."""
    method = DESCRIPTION.methods_by_name[name]
    request = getattr(pb, method.input_type.name)()
    for field in ("name", "model_name"):
        if field in method.input_type.fields_by_name:
            setattr(request, field, "mine")
    return request


def call(served: Served, name: str, **options: Any) -> Any:
    return served.stub(name, request_of(name), **options)


def unary() -> list[str]:
    return [name for name in METHODS if name != "ModelStreamInfer"]


async def test_every_method_of_the_protocol_says_what_it_needs(served: Served) -> None:
    access = served.methods.access
    declared = {path.rpartition("/")[2] for path in access if SERVICE in path}
    assert declared == set(METHODS)
    open_ones = {path for path, one in access.items() if not one.scopes}
    assert open_ones == {f"/{SERVICE}/{name}" for name in OPEN} | {
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
    }


async def test_without_a_key_only_the_probes_answer(served: Served) -> None:
    for name in unary():
        if name in OPEN:
            await call(served, name)
        else:
            detail = await failed(
                call(served, name), CODE.UNAUTHENTICATED, "unauthorized"
            )
            assert "No API key" in detail


@pytest.mark.parametrize("scope", list(Scope))
async def test_a_scope_opens_its_methods_and_no_others(
    served: Served, scope: Scope
) -> None:
    metadata = await served.metadata(scope)
    held = with_implied([scope])
    for name in unary():
        access = served.methods.access[f"/{SERVICE}/{name}"]
        try:
            await call(served, name, metadata=metadata)
            code = CODE.OK
        except grpc.aio.AioRpcError as error:
            code = error.code()
        is_refused = bool(access.scopes) and held.isdisjoint(access.scopes)
        assert (code is CODE.PERMISSION_DENIED) == is_refused, (name, code)
        assert code is not CODE.UNAUTHENTICATED, name


async def test_what_is_wrong_with_a_key_is_told(served: Served) -> None:
    admin = served.guarded.admin
    for metadata, words in (
        ((("x-api-key", admin[:-1]),), "mistyped"),
        ((("authorization", admin),), "Bearer"),
        ((("x-api-key", admin), ("authorization", "Bearer mlf_x")), "different"),
    ):
        pending = call(served, "ModelMetadata", metadata=metadata)
        detail = await failed(pending, CODE.UNAUTHENTICATED, "unauthorized")
        assert words in detail
        assert admin[20:60] not in detail
    answered = await call(served, "ModelMetadata", metadata=(("x-api-key", admin),))
    assert answered.name == "mine"


async def test_foreign_models_are_not_there(served: Served) -> None:
    metadata = await served.metadata(Scope.PREDICT, Scope.WRITE, pattern="theirs*")
    ready = await call(served, "ModelReady", metadata=metadata)
    assert not ready.ready
    for name in (
        "ModelMetadata",
        "ModelConfig",
        "ModelStatistics",
        "RepositoryModelLoad",
        "RepositoryModelUnload",
        "ModelInfer",
    ):
        pending = call(served, name, metadata=metadata)
        detail = await failed(pending, CODE.NOT_FOUND, "model_not_found")
        assert 'no model is named "mine"' in detail, name
    index = await call(served, "RepositoryIndex", metadata=metadata)
    assert not index.models
    everything = pb.ModelStatisticsRequest()
    found = await served.stub("ModelStatistics", everything, metadata=metadata)
    assert not found.model_stats


async def test_inference_goes_on_with_the_right_key(served: Served) -> None:
    metadata = await served.metadata(Scope.PREDICT, pattern="mi*")
    request = infer_request("mine", ONE)
    answer = await served.stub("ModelInfer", request, metadata=metadata)
    assert answer.model_name == "mine"


async def test_a_stream_ends_when_its_key_is_revoked(served: Served) -> None:
    made = await served.guarded.make(Scope.PREDICT)
    revoked = asyncio.Event()

    async def requests() -> AsyncIterator[pb.ModelInferRequest]:
        yield infer_request("mine", ONE)
        await revoked.wait()
        yield infer_request("mine", ONE)

    stream = served.stub.stream(requests(), metadata=(("x-api-key", made.token),))
    first = await stream.read()
    assert first.infer_response.model_name == "mine"
    await served.guarded.runtime.identity.keys.revoke(made.row.id)
    revoked.set()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert caught.value.code() is CODE.UNAUTHENTICATED


async def test_a_key_over_its_rate_is_told_when_to_ask_again(served: Served) -> None:
    limits = KeyLimits(requests_per_s=0.01, burst=3)
    new = NewKey("a test", frozenset({Scope.PREDICT}), limits=limits)
    made = await served.guarded.runtime.identity.keys.create(new)
    metadata = (("x-api-key", made.token),)
    message = infer_request("mine", ONE)
    stream = served.stub.stream(metadata=metadata)
    for error in ("", "", "requests a second"):
        await stream.write(message)
        assert error in (await stream.read()).error_message
    await stream.done_writing()
    call = served.stub("ModelInfer", message, metadata=metadata)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is CODE.RESOURCE_EXHAUSTED
    trailer = dict(caught.value.trailing_metadata() or ())
    assert trailer["x-error-code"] == "rate_limited"
    assert int(trailer["retry-after"]) > 0
    # A google.rpc.Status with a RetryInfo, by its field numbers.
    status = trailer["grpc-status-details-bin"]
    assert isinstance(status, bytes)
    assert status[:2] == b"\x08\x08"
    after = int(trailer["retry-after"])
    assert status.endswith(b"google.rpc.RetryInfo\x12\x04\x0a\x02\x08" + bytes([after]))
