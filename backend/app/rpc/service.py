"""The protocol's calls besides inference: read a message, call one thing, write one."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias, TypeVar

from google.protobuf.message import DecodeError, Message

from app.auth.gate import OPEN, Access
from app.auth.principal import Principal
from app.enums import Scope
from app.errors import InvalidField, InvalidRequest, MethodNotAllowed, ModelNotFound
from app.rpc import messages
from app.rpc.calls import Declared, Rpc
from app.rpc.generated import open_inference_pb2 as pb
from app.runtime import Runtime
from app.services.fields import model_name
from app.services.repository import RepositoryParameter, load_order, unload_version
from app.services.traffic import MISSED

SERVICE: Final = "inference.GRPCInferenceService"

M = TypeVar("M", bound=Message)
Handled: TypeAlias = Callable[[M, Principal], Awaitable[Message]]

READ: Final = Access((Scope.READ,))
WRITE: Final = Access((Scope.WRITE,))
# What a caller has to know before it sends an inference.
KNOW: Final = Access((Scope.READ, Scope.PREDICT))


class Service:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def calls(self) -> dict[str, Declared]:
        """By the method's name, each with the scope it needs."""
        return {
            "ServerLive": _open(pb.ServerLiveRequest, self._live),
            "ServerReady": _open(pb.ServerReadyRequest, self._ready),
            "ServerMetadata": _known(pb.ServerMetadataRequest, self._server),
            "ModelReady": _known(pb.ModelReadyRequest, self._model_ready),
            "ModelMetadata": _known(
                pb.ModelMetadataRequest, self._caught_up(self._model)
            ),
            "ModelConfig": _known(pb.ModelConfigRequest, self._caught_up(self._config)),
            "ModelStatistics": _parsed(
                READ, pb.ModelStatisticsRequest, self._caught_up(self._statistics)
            ),
            "RepositoryIndex": _parsed(READ, pb.RepositoryIndexRequest, self._index),
            "RepositoryModelLoad": _parsed(
                WRITE, pb.RepositoryModelLoadRequest, self._load
            ),
            "RepositoryModelUnload": _parsed(
                WRITE, pb.RepositoryModelUnloadRequest, self._unload
            ),
        }

    def _caught_up(self, handled: Handled[M]) -> Handled[M]:
        """`handled`; where it misses a model, once more after a look for changes."""

        async def handle(request: M, caller: Principal) -> Message:
            try:
                return await handled(request, caller)
            except MISSED:
                await self._runtime.traffic.catch_up_on_miss()
                return await handled(request, caller)

        return handle

    async def _live(
        self, _request: pb.ServerLiveRequest, _caller: Principal
    ) -> Message:
        return pb.ServerLiveResponse(live=True)

    async def _ready(
        self, _request: pb.ServerReadyRequest, _caller: Principal
    ) -> Message:
        return pb.ServerReadyResponse(ready=not self._runtime.stopping)

    async def _server(
        self, _request: pb.ServerMetadataRequest, _caller: Principal
    ) -> Message:
        return messages.server_metadata(self._runtime.oip.server)

    async def _model_ready(
        self, request: pb.ModelReadyRequest, caller: Principal
    ) -> Message:
        oip, version = self._runtime.oip, request.version or None
        try:
            await self._runtime.identity.sight.check_ref(caller, request.name)
            ready = oip.is_ready(request.name, version)
            if not ready:
                await self._runtime.traffic.catch_up_on_miss()
                ready = oip.is_ready(request.name, version)
        except (InvalidField, ModelNotFound):  # Nothing of that name can be ready.
            ready = False
        return pb.ModelReadyResponse(ready=ready and not self._runtime.stopping)

    async def _model(
        self, request: pb.ModelMetadataRequest, caller: Principal
    ) -> Message:
        await self._runtime.identity.sight.check_ref(caller, request.name)
        model = self._runtime.oip.model(request.name, request.version or None)
        return messages.model_metadata(model)

    async def _config(
        self, request: pb.ModelConfigRequest, caller: Principal
    ) -> Message:
        await self._runtime.identity.sight.check_ref(caller, request.name)
        config = self._runtime.oip.config(request.name, request.version or None)
        return messages.model_config(config)

    async def _statistics(
        self, request: pb.ModelStatisticsRequest, caller: Principal
    ) -> Message:
        if request.name:
            await self._runtime.identity.sight.check_ref(caller, request.name)
        found = self._runtime.oip.statistics(
            request.name or None,
            request.version or None,
            counted=await self._runtime.fleet.statistics(),
        )
        return messages.model_statistics(
            [one for one in found if caller.sees(one.name)]
        )

    async def _index(
        self, request: pb.RepositoryIndexRequest, caller: Principal
    ) -> Message:
        _refuse_named(request.repository_name)
        index = self._runtime.repository.index(ready=request.ready)
        return messages.repository_index(
            [entry for entry in index if caller.sees(entry.name)]
        )

    async def _load(
        self, request: pb.RepositoryModelLoadRequest, caller: Principal
    ) -> Message:
        name = _named(request)
        await self._runtime.identity.sight.check_ref(caller, name)
        order = load_order(_parameters(request.parameters))
        await self._runtime.repository.load(name, order)
        return pb.RepositoryModelLoadResponse()

    async def _unload(
        self, request: pb.RepositoryModelUnloadRequest, caller: Principal
    ) -> Message:
        name = _named(request)
        await self._runtime.identity.sight.check_ref(caller, name)
        version = unload_version(_parameters(request.parameters))
        await self._runtime.repository.unload(name, version)
        return pb.RepositoryModelUnloadResponse()


def _open(kind: type[M], handled: Handled[M]) -> Declared:
    return _parsed(OPEN, kind, handled)


def _known(kind: type[M], handled: Handled[M]) -> Declared:
    return _parsed(KNOW, kind, handled)


def _parsed(access: Access, kind: type[M], handled: Handled[M]) -> Declared:
    """`handled` on raw bytes. InvalidRequest for bytes that are no such message."""

    async def work(body: bytes, rpc: Rpc) -> bytes:
        try:
            request = kind.FromString(body)
        except DecodeError:
            name = kind.DESCRIPTOR.name
            raise InvalidRequest(f"The message is no valid {name}.") from None
        answer: bytes = (await handled(request, rpc.caller)).SerializeToString()
        return answer

    return Declared(access, work)


def _named(
    request: pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest,
) -> str:
    """Another dialect of the protocol has the model's name in the first field, which
    is the repository's here."""
    if request.model_name:
        _refuse_named(request.repository_name)
    return model_name(request.model_name or request.repository_name)


def _refuse_named(repository: str) -> None:
    if repository:
        raise MethodNotAllowed(
            f'There is one repository and it has no name, got "{repository[:200]}"; '
            "leave repository_name empty."
        )


def _parameters(
    parameters: Mapping[str, pb.ModelRepositoryParameter],
) -> dict[str, RepositoryParameter]:
    found: dict[str, RepositoryParameter] = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidRequest(f"the parameter {name[:200]} has no value.")
        found[name] = getattr(parameter, choice)
    return found
