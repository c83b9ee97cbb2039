"""ModelInfer and ModelStreamInfer: messages in, the predictor, messages out."""

import asyncio
import time
from typing import Final

from grpc import aio

from app.codecs.oip_request import MAX_ID
from app.errors import (
    MLForgeError,
    PayloadTooLarge,
    RateLimited,
    ShuttingDown,
)
from app.kit.redaction import without_keys
from app.rpc.calls import Rpc, note_failure, short
from app.rpc.codec import OipProto, parse_infer, stream_response
from app.rpc.generated import open_inference_pb2 as pb
from app.runtime import Runtime
from app.services.auth_failures import TooManyWrongKeys
from app.services.traffic import MISSED
from app.serving.limits import Deadline
from app.serving.predict import Call, Reply

MIB: Final = 1024 * 1024
_STOPPING: Final = "This server is shutting down; ask another or retry."


class Infer:
    """`closing` is set when the server begins to stop: idle streams end then."""

    def __init__(self, runtime: Runtime, closing: asyncio.Event) -> None:
        self._runtime = runtime
        self._closing = closing

    async def unary(self, body: bytes, rpc: Rpc) -> bytes:
        reply = await self._predict(parse_infer(body), body, rpc)
        if reply.request_id is not None:
            rpc.request_id = reply.request_id
        rpc.log = {"model": reply.record.id, "cache": reply.cache.value}
        rpc.trailer = (("x-cache", reply.cache.value),)
        return self._bounded(reply.encoded.body)

    async def stream(self, rpc: Rpc) -> None:
        """Answers each message in turn; a refused one ends nothing."""
        count = 0
        while (body := await self._next(rpc)) is not None:
            refusal = await _refusal(rpc)
            await rpc.context.write(await self._answer(body, rpc, refusal))
            count += 1
            rpc.log = {"messages": count}

    async def _answer(
        self, body: bytes, rpc: Rpc, refusal: MLForgeError | None
    ) -> bytes:
        answer = pb.ModelStreamInferResponse()
        try:
            request = parse_infer(body)
            # Beside an error, what tells the caller which request it is of.
            answer.infer_response.id = request.id[:MAX_ID]
            answer.infer_response.model_name = request.model_name
            if refusal is not None:
                raise refusal
            reply = await self._predict(request, body, rpc)
            return self._bounded(stream_response(reply.encoded.body))
        except MLForgeError as error:
            note_failure(error)
            answer.error_message = short(without_keys(error.detail)) or error.title
        message: bytes = answer.SerializeToString()
        return message

    def _bounded(self, message: bytes) -> bytes:
        limit_mb = self._runtime.settings.grpc_max_message_mb
        if len(message) > limit_mb * MIB:
            raise PayloadTooLarge(
                f"The answer takes {len(message)} bytes and messages here may take "
                f"{limit_mb} MiB: ask for fewer rows or outputs, or raise "
                "GRPC_MAX_MESSAGE_MB."
            )
        return message

    async def _next(self, rpc: Rpc) -> bytes | None:
        """The caller's next message, None after the last one."""
        read = asyncio.ensure_future(rpc.context.read())
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait({read, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not read.done():
                raise ShuttingDown(_STOPPING)
            body = read.result()
            return None if body is aio.EOF else body
        finally:
            closing.cancel()
            read.cancel()

    async def _predict(
        self, request: pb.ModelInferRequest, body: bytes, rpc: Rpc
    ) -> Reply:
        try:
            return await self._predict_now(request, body, rpc)
        except MISSED:
            await self._runtime.traffic.catch_up_on_miss()
            return await self._predict_now(request, body, rpc)

    async def _predict_now(
        self, request: pb.ModelInferRequest, body: bytes, rpc: Rpc
    ) -> Reply:
        runtime = self._runtime
        if runtime.stopping:
            raise ShuttingDown(_STOPPING)
        if rpc.caller.pattern is not None:
            await runtime.identity.sight.check_ref(rpc.caller, request.model_name)
        record = runtime.routes.resolve_version(
            request.model_name, request.model_version or None
        )
        now, limit_s = time.monotonic(), runtime.inference_timeout_s
        left_s = rpc.context.time_remaining()
        own = None if left_s is None else Deadline.after(left_s, now=now)
        # The body tells how much there is to decode; the codec has it parsed already.
        codec = OipProto(request)
        call = Call(record.id, codec, body, now + limit_s, own=own)
        return await runtime.predictor.predict(call)


async def _refusal(rpc: Rpc) -> RateLimited | None:
    """What one message of a stream is answered with, where its caller is too quick. A
    caller who may call no more ends the stream."""
    try:
        await rpc.admit()
    except TooManyWrongKeys:
        raise
    except RateLimited as error:
        return error
    return None
