"""A runtime in this process, served over HTTP (in memory) and over gRPC (for real)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import httpx
import pytest

from app.config import Settings
from app.main import create_app
from app.rpc.server import RpcServer
from app.runtime import Runtime
from tests.asgi import running
from tests.conftest import MakeSettings
from tests.processes import free_port
from tests.rpc.stub import Stub


@dataclass(frozen=True, slots=True)
class Served:
    runtime: Runtime
    server: RpcServer
    port: int
    client: httpx.AsyncClient
    stub: Stub


@pytest.fixture
def rpc_settings(make_settings: MakeSettings, sqlite_dsn: str) -> Settings:
    return make_settings(
        database_url=sqlite_dsn, grpc_port=free_port(), grpc_max_message_mb=1
    )


@pytest.fixture
async def served(rpc_settings: Settings) -> AsyncIterator[Served]:
    app = create_app(rpc_settings)
    async with running(app) as started:
        runtime: Runtime = app.state.runtime
        server = RpcServer(runtime)
        port = await server.start()
        transport = httpx.ASGITransport(app=started)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://mlforge") as client,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            yield Served(runtime, server, port, client, Stub(channel))
        await server.stop(0)


@pytest.fixture
def stub(served: Served) -> Stub:
    return served.stub
