"""grpc.health.v1: what balancers and Kubernetes ask before they send anything."""

import asyncio

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from app.errors import InvalidRequest, NotFound
from app.rpc.calls import Rpc
from app.runtime import Runtime

SERVICE = "grpc.health.v1.Health"


class Health:
    """`closing` is set when the server begins to stop: watches end then."""

    def __init__(
        self, runtime: Runtime, services: frozenset[str], closing: asyncio.Event
    ) -> None:
        self._runtime = runtime
        self._services = services
        self._closing = closing

    async def check(self, body: bytes, _rpc: Rpc) -> bytes:
        name = _service(body)
        if name not in self._services:
            raise NotFound(
                f'There is no service "{name[:200]}" here; the empty name asks for the '
                "whole server."
            )
        return self._answer(name)

    async def watch(self, rpc: Rpc) -> None:
        """Says how it is, and once more when that changes."""
        name = _service(await rpc.context.read())
        await rpc.context.write(self._answer(name))
        await self._closing.wait()
        if name in self._services:
            await rpc.context.write(self._answer(name))

    def _answer(self, name: str) -> bytes:
        statuses = health_pb2.HealthCheckResponse
        status = statuses.SERVING
        if name not in self._services:
            status = statuses.SERVICE_UNKNOWN
        elif self._runtime.stopping:
            status = statuses.NOT_SERVING
        message: bytes = statuses(status=status).SerializeToString()
        return message


def _service(body: object) -> str:
    try:
        request = health_pb2.HealthCheckRequest.FromString(body)
    except (DecodeError, TypeError):  # The caller ended without a message.
        raise InvalidRequest("The message is no valid HealthCheckRequest.") from None
    name: str = request.service
    return name
