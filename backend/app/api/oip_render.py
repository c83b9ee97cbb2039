"""The Open Inference Protocol's views as JSON."""

from dataclasses import asdict

from app.observability.statistics import Duration
from app.schemas.oip import (
    OipBatchStatistics,
    OipConfig,
    OipConfigInput,
    OipConfigOutput,
    OipConfigParameter,
    OipDuration,
    OipInferStatistics,
    OipMemoryUsage,
    OipModel,
    OipModelStatistics,
    OipResponseCache,
    OipStatistics,
    OipTensorMetadata,
    OipVersionPolicy,
    OipVersionPolicyLatest,
)
from app.serving.oip_view import (
    ConfigTensor,
    ConfigView,
    ModelView,
    StatisticsView,
    TensorView,
)


def metadata_of(view: ModelView) -> OipModel:
    return OipModel(
        name=view.name,
        versions=list(view.versions),
        platform=view.platform,
        inputs=[_tensor(tensor) for tensor in view.inputs],
        outputs=[_tensor(tensor) for tensor in view.outputs],
        properties=dict(view.properties),
    )


def config_of(view: ConfigView) -> OipConfig:
    return OipConfig(
        name=view.name,
        platform=view.platform,
        backend=view.backend,
        version_policy=OipVersionPolicy(latest=OipVersionPolicyLatest(num_versions=1)),
        max_batch_size=view.max_batch_size,
        input=[_input(item) for item in view.inputs],
        output=[_output(tensor) for tensor in view.outputs],
        default_model_filename=view.default_model_filename,
        response_cache=OipResponseCache(enable=view.caches),
        parameters={
            name: OipConfigParameter(string_value=value)
            for name, value in view.parameters.items()
        },
    )


def statistics_of(views: list[StatisticsView]) -> OipStatistics:
    return OipStatistics(model_stats=[_statistics(view) for view in views])


def _tensor(tensor: TensorView) -> OipTensorMetadata:
    return OipTensorMetadata(
        name=tensor.name, datatype=tensor.datatype, shape=list(tensor.shape)
    )


def _input(item: ConfigTensor) -> OipConfigInput:
    return OipConfigInput(
        name=item.tensor.name,
        data_type=item.tensor.config_type,
        format="FORMAT_NONE",
        dims=list(item.tensor.shape),
        is_shape_tensor=False,
        allow_ragged_batch=False,
        optional=item.optional,
    )


def _output(tensor: TensorView) -> OipConfigOutput:
    return OipConfigOutput(
        name=tensor.name,
        data_type=tensor.config_type,
        dims=list(tensor.shape),
        label_filename="",
        is_shape_tensor=False,
    )


def _statistics(view: StatisticsView) -> OipModelStatistics:
    counts = view.counts
    return OipModelStatistics(
        name=view.name,
        version=view.version,
        last_inference=counts.last_inference_ms,
        inference_count=counts.inference_count,
        execution_count=counts.execution_count,
        inference_stats=OipInferStatistics(
            success=_duration(counts.success),
            fail=_duration(counts.fail),
            queue=_duration(counts.queue),
            compute_input=_duration(counts.compute_input),
            compute_infer=_duration(counts.compute_infer),
            compute_output=_duration(counts.compute_output),
            cache_hit=_duration(counts.cache_hit),
            cache_miss=_duration(counts.cache_miss),
        ),
        response_stats={},
        batch_stats=[
            OipBatchStatistics(
                batch_size=size,
                compute_input=_duration(batch.compute_input),
                compute_infer=_duration(batch.compute_infer),
                compute_output=_duration(batch.compute_output),
            )
            for size, batch in sorted(counts.batches.items())
        ],
        memory_usage=[]
        if view.memory_bytes is None
        else [OipMemoryUsage(type="CPU", id=0, byte_size=view.memory_bytes)],
    )


def _duration(duration: Duration) -> OipDuration:
    return OipDuration(**asdict(duration))
