"""The connections to one server, and its doors on them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from grpc import aio

from conformance.doors import ApiJSON, Door, OipBinary, OipGRPC, OipJSON

_TIMEOUT_S = 120
_MOST_BYTES = 256 * 2**20
_SIZES = ("grpc.max_send_message_length", "grpc.max_receive_message_length")


@asynccontextmanager
async def opened_doors(
    url: str, grpc_target: str | None
) -> AsyncIterator[tuple[httpx.AsyncClient, list[Door]]]:
    """The client for uploads, and every door; gRPC where its target is given."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S)
        )
        doors: list[Door] = [ApiJSON(client), OipJSON(client), OipBinary(client)]
        if grpc_target:
            options = [(name, _MOST_BYTES) for name in _SIZES]
            channel = aio.insecure_channel(grpc_target, options=options)
            doors.append(OipGRPC(await stack.enter_async_context(channel)))
        yield client, doors
