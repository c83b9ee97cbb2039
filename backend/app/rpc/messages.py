"""What the protocol tells of models, written as messages."""

from collections.abc import Iterable

from app.observability.statistics import (
    BatchStatistics,
    Duration,
    VersionStatistics,
)
from app.rpc.generated import open_inference_pb2 as pb
from app.services.repository import IndexEntry
from app.serving.oip_view import (
    ConfigTensor,
    ConfigView,
    ModelView,
    ServerView,
    StatisticsView,
    TensorView,
)


def server_metadata(server: ServerView) -> pb.ServerMetadataResponse:
    return pb.ServerMetadataResponse(
        name=server.name, version=server.version, extensions=server.extensions
    )


def model_metadata(model: ModelView) -> pb.ModelMetadataResponse:
    return pb.ModelMetadataResponse(
        name=model.name,
        versions=model.versions,
        platform=model.platform,
        inputs=map(_metadata, model.inputs),
        outputs=map(_metadata, model.outputs),
        properties=model.properties,
    )


def model_config(config: ConfigView) -> pb.ModelConfigResponse:
    latest = pb.ModelVersionPolicy.Latest(num_versions=1)
    message = pb.ModelConfig(
        name=config.name,
        platform=config.platform,
        backend=config.backend,
        version_policy=pb.ModelVersionPolicy(latest=latest),
        max_batch_size=config.max_batch_size,
        input=map(_input, config.inputs),
        output=map(_output, config.outputs),
        default_model_filename=config.default_model_filename,
        response_cache=pb.ModelResponseCache(enable=config.caches),
    )
    for name, value in config.parameters.items():
        message.parameters[name].string_value = value
    return pb.ModelConfigResponse(config=message)


def model_statistics(versions: Iterable[StatisticsView]) -> pb.ModelStatisticsResponse:
    return pb.ModelStatisticsResponse(model_stats=map(_statistics, versions))


def repository_index(entries: Iterable[IndexEntry]) -> pb.RepositoryIndexResponse:
    return pb.RepositoryIndexResponse(
        models=[
            pb.RepositoryIndexResponse.ModelIndex(
                name=entry.name,
                version=entry.version,
                state=entry.state,
                reason=entry.reason,
            )
            for entry in entries
        ]
    )


def _metadata(tensor: TensorView) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(
        name=tensor.name, datatype=tensor.datatype, shape=tensor.shape
    )


def _input(given: ConfigTensor) -> pb.ModelInput:
    return pb.ModelInput(
        name=given.tensor.name,
        data_type=pb.DataType.Value(given.tensor.config_type),
        dims=given.tensor.shape,
        optional=given.optional,
    )


def _output(tensor: TensorView) -> pb.ModelOutput:
    return pb.ModelOutput(
        name=tensor.name,
        data_type=pb.DataType.Value(tensor.config_type),
        dims=tensor.shape,
    )


def _statistics(version: StatisticsView) -> pb.ModelStatistics:
    counts = version.counts
    message = pb.ModelStatistics(
        name=version.name,
        version=version.version,
        last_inference=counts.last_inference_ms,
        inference_count=counts.inference_count,
        execution_count=counts.execution_count,
        inference_stats=_inferences(counts),
        batch_stats=[
            _batch(size, counts.batches[size]) for size in sorted(counts.batches)
        ],
    )
    if version.memory_bytes is not None:
        message.memory_usage.add(type="CPU", id=0, byte_size=version.memory_bytes)
    return message


def _inferences(counts: VersionStatistics) -> pb.InferStatistics:
    return pb.InferStatistics(
        success=_duration(counts.success),
        fail=_duration(counts.fail),
        queue=_duration(counts.queue),
        compute_input=_duration(counts.compute_input),
        compute_infer=_duration(counts.compute_infer),
        compute_output=_duration(counts.compute_output),
        cache_hit=_duration(counts.cache_hit),
        cache_miss=_duration(counts.cache_miss),
    )


def _batch(size: int, counts: BatchStatistics) -> pb.InferBatchStatistics:
    return pb.InferBatchStatistics(
        batch_size=size,
        compute_input=_duration(counts.compute_input),
        compute_infer=_duration(counts.compute_infer),
        compute_output=_duration(counts.compute_output),
    )


def _duration(spent: Duration) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=spent.count, ns=spent.ns)
