"""The gRPC server: which method goes where, from its port's opening to its end."""

import asyncio
from typing import Any, Final, TypeAlias

import grpc
from grpc.aio import ServicerContext

from app.auth.gate import OPEN, Access
from app.enums import Scope
from app.errors import MethodNotAllowed
from app.rpc import health
from app.rpc.calls import Calls, Declared, DeclaredStream, Rpc
from app.rpc.generated import open_inference_pb2 as pb
from app.rpc.infer import MIB, Infer
from app.rpc.service import SERVICE, Service
from app.runtime import Runtime

METHODS: Final = tuple(
    method.name
    for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
)

INFER: Final = Access((Scope.PREDICT,))

# grpc has no types of its own.
Handler: TypeAlias = Any


class PortUnavailable(Exception):
    """The port can't be listened on."""


def port_unavailable(host: str, port: int) -> PortUnavailable:
    return PortUnavailable(
        f"gRPC can't listen on {_bracketed(host)}:{port}: another program may have the "
        "port. Choose another with GRPC_PORT, or turn gRPC off with GRPC_PORT=0."
    )


class RpcServer:
    """Serves a runtime on the event loop that starts it.

    `shares_port`: with other processes, between which the kernel spreads connections.
    """

    def __init__(self, runtime: Runtime, *, shares_port: bool = False) -> None:
        self._settings = settings = runtime.settings
        self._closing = asyncio.Event()
        self._server = grpc.aio.server(
            options=[
                # Else two servers would share the port, and its callers.
                ("grpc.so_reuseport", int(shares_port)),
                ("grpc.max_receive_message_length", settings.grpc_max_message_mb * MIB),
                ("grpc.max_send_message_length", settings.grpc_max_message_mb * MIB),
            ]
        )
        calls = Calls(runtime.metrics, runtime.identity, access_log=settings.access_log)
        self.methods = Methods(runtime, calls, self._closing)
        self._server.add_generic_rpc_handlers((self.methods,))

    async def start(self) -> int:
        """The port it listens on from now on. PortUnavailable if it is taken."""
        host = self._settings.host or "0.0.0.0"
        address = _bracketed(host)
        try:
            port: int = self._server.add_insecure_port(
                f"{address}:{self._settings.grpc_port}"
            )
        except RuntimeError:
            raise port_unavailable(host, self._settings.grpc_port) from None
        await self._server.start()
        return port

    async def stop(self, grace_s: float) -> None:
        """Refuses what is new, ends what waits, and gives what runs `grace_s`."""
        self._closing.set()
        await self._server.stop(grace_s)


class Methods:
    """From a method's name to its handler, for every method that is called.

    Messages reach the handlers as bytes: reading them is part of the call, with
    its errors and its time.
    """

    def __init__(self, runtime: Runtime, calls: Calls, closing: asyncio.Event) -> None:
        infer = Infer(runtime, closing)
        services = frozenset({"", SERVICE})
        probes = health.Health(runtime, services, closing)
        unary = {
            f"/{SERVICE}/ModelInfer": Declared(INFER, infer.unary),
            f"/{health.SERVICE}/Check": Declared(OPEN, probes.check),
            **{f"/{SERVICE}/{n}": one for n, one in Service(runtime).calls().items()},
        }
        streams = {
            f"/{SERVICE}/ModelStreamInfer": DeclaredStream(INFER, infer.stream),
            f"/{health.SERVICE}/Watch": DeclaredStream(OPEN, probes.watch),
        }
        self.access: dict[str, Access] = {
            **{path: one.access for path, one in unary.items()},
            **{path: one.access for path, one in streams.items()},
        }
        self._handlers: dict[str, Handler] = {
            **{path: _unary(calls, path, one) for path, one in unary.items()},
            **{path: _stream(calls, path, one) for path, one in streams.items()},
        }
        # Takes calls of any kind: what streams is known of known methods alone.
        self._unknown = _stream(calls, "unknown", DeclaredStream(OPEN, _refuse))

    def service(self, call: Any) -> Handler:
        return self._handlers.get(call.method, self._unknown)


def _unary(calls: Calls, path: str, declared: Declared) -> Handler:
    name = path.rpartition("/")[2]

    async def handle(body: bytes, context: ServicerContext) -> bytes:
        return await calls.unary(name, declared, body, context)

    return grpc.unary_unary_rpc_method_handler(handle)


def _stream(calls: Calls, path: str, declared: DeclaredStream) -> Handler:
    name = path.rpartition("/")[2]

    async def handle(_messages: Any, context: ServicerContext) -> None:
        await calls.stream(name, declared, context)

    return grpc.stream_stream_rpc_method_handler(handle)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _refuse(_rpc: Rpc) -> None:
    raise MethodNotAllowed(
        f"This server has no such method; those of {SERVICE} are {', '.join(METHODS)}."
    )
