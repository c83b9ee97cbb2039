"""What the Open Inference Protocol tells of a model, for REST and gRPC to write down:
metadata, configuration, readiness and statistics."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from app.artifacts.store import MODEL_FILE
from app.codecs.dense import DenseSpec, dense_spec, labels_text
from app.engine.signature import Signature, ValueSpec
from app.engine.tensors import BY_OIP
from app.errors import ModelNotFound, ModelNotReady
from app.observability.statistics import Statistics, VersionStatistics
from app.serving.routes import Routes, VersionRecord

SERVER_NAME: Final = "mlforge"
PLATFORM: Final = "onnxruntime_onnx"
BACKEND: Final = "onnxruntime"
EXTENSIONS: Final = (
    "classification",
    "model_repository",
    "schedule_policy",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
)


@dataclass(frozen=True, slots=True)
class ServerView:
    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TensorView:
    """Free dimensions are -1, so is an unknown rank."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def config_type(self) -> str:
        """`TYPE_FP32`; TYPE_INVALID for types that configurations have no word for."""
        if self.datatype not in BY_OIP:
            return "TYPE_INVALID"
        return "TYPE_STRING" if self.datatype == "BYTES" else f"TYPE_{self.datatype}"


@dataclass(frozen=True, slots=True)
class ModelView:
    """Metadata. `properties` say what is no tensor in the model itself, as
    `outputs.NAME.type`, and its class labels, as `outputs.NAME.labels`."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorView, ...]
    outputs: tuple[TensorView, ...]
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ConfigTensor:
    tensor: TensorView
    optional: bool


@dataclass(frozen=True, slots=True)
class ConfigView:
    """`max_batch_size` 0: the shapes are whole, a batch dimension included."""

    name: str
    version: str
    platform: str
    backend: str
    max_batch_size: int
    inputs: tuple[ConfigTensor, ...]
    outputs: tuple[TensorView, ...]
    default_model_filename: str
    caches: bool
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StatisticsView:
    """`memory_bytes` is None while no session of the version is loaded."""

    name: str
    version: str
    counts: VersionStatistics
    memory_bytes: int | None


class OipView:
    """`version` is a version or an alias; without one the bare name's meaning.

    Raises InvalidField, ModelNotFound or ModelNotReady.
    """

    def __init__(
        self,
        routes: Routes,
        statistics: Statistics,
        *,
        server_version: str,
        is_loaded: Callable[[VersionRecord], bool],
    ) -> None:
        self._routes = routes
        self._statistics = statistics
        self._is_loaded = is_loaded
        self.server = ServerView(SERVER_NAME, server_version, EXTENSIONS)

    def names(self) -> list[str]:
        """Of models that have a ready version."""
        return [name for name in self._routes.names() if self._ready_versions(name)]

    def ready(self, name: str, version: str | None) -> VersionRecord:
        return self._routes.resolve_version(name, version)

    def is_ready(self, name: str, version: str | None) -> bool:
        """False too where there is no such model; raises InvalidField."""
        try:
            self._routes.resolve_version(name, version)
        except (ModelNotFound, ModelNotReady):
            return False
        return True

    def model(self, name: str, version: str | None) -> ModelView:
        record = self._routes.resolve_version(name, version)
        signature = record.target.signature
        named = (record.version,) if version else self._ready_versions(record.name)
        return ModelView(
            name=record.name,
            versions=named,
            platform=PLATFORM,
            inputs=tuple(map(_tensor, _inputs(signature))),
            outputs=tuple(map(_tensor, _outputs(record))),
            properties=_properties(record),
        )

    def config(self, name: str, version: str | None) -> ConfigView:
        record = self._routes.resolve_version(name, version)
        signature = record.target.signature
        return ConfigView(
            name=record.name,
            version=record.version,
            platform=PLATFORM,
            backend=BACKEND,
            max_batch_size=0,
            inputs=tuple(
                ConfigTensor(_tensor(dense_spec(spec)), spec.is_optional)
                for spec in signature.inputs
            ),
            outputs=tuple(map(_tensor, _outputs(record))),
            default_model_filename=MODEL_FILE,
            caches=record.deterministic,
            parameters=_properties(record),
        )

    def statistics(
        self,
        name: str | None = None,
        version: str | None = None,
        *,
        counted: Statistics | None = None,
    ) -> list[StatisticsView]:
        """Of one version, of a model's ready versions, or of all there are: what this
        process `counted`, or others too."""
        counts = partial(self._counts, counted or self._statistics)
        if name and version:
            return [counts(self._routes.resolve_version(name, version))]
        names = [self._routes.resolve(name).name] if name else self._routes.names()
        return [counts(record) for one in names for record in self._ready(one)]

    def _counts(self, counted: Statistics, record: VersionRecord) -> StatisticsView:
        loaded = self._is_loaded(record)
        return StatisticsView(
            name=record.name,
            version=record.version,
            counts=counted.of(record.id),
            memory_bytes=record.memory_bytes if loaded else None,
        )

    def _ready(self, name: str) -> Iterator[VersionRecord]:
        return (v for v in self._routes.model(name).versions if v.is_ready)

    def _ready_versions(self, name: str) -> tuple[str, ...]:
        return tuple(record.version for record in self._ready(name))


def _inputs(signature: Signature) -> Iterator[DenseSpec]:
    return (dense_spec(spec) for spec in signature.inputs)


def _outputs(record: VersionRecord) -> Iterator[DenseSpec]:
    for spec in record.target.signature.outputs:
        yield dense_spec(spec, record.labels.get(spec.name))


def _tensor(spec: DenseSpec) -> TensorView:
    return TensorView(spec.name, spec.datatype, spec.shape)


def _properties(record: VersionRecord) -> dict[str, str]:
    found: dict[str, str] = {}
    signature = record.target.signature
    for place, specs in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        for spec in specs:
            found.update(_notes(place, spec, record))
    return found


def _notes(
    place: str, spec: ValueSpec, record: VersionRecord
) -> Iterator[tuple[str, str]]:
    dense = dense_spec(spec)
    if dense.type is not None:
        yield f"{place}.{spec.name}.type", dense.type
    labels = record.labels.get(spec.name)
    if labels is not None and place == "outputs":
        yield f"{place}.{spec.name}.labels", labels_text(labels)
