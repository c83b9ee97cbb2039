"""The Open Inference Protocol's bodies.

Requests are read by `app.codecs` and `app.api`; these say in OpenAPI's words what
those take. Answers of the control plane are made of these.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.examples import FEATURES

Parameters = dict[str, str | int | float | bool]


class OipError(BaseModel):
    """Clients show `error`; the rest helps to act on it and to find it in the log."""

    error: str
    code: str
    request_id: str


class OipLive(BaseModel):
    live: bool


class OipReady(BaseModel):
    ready: bool


class OipServer(BaseModel):
    name: str
    version: str
    extensions: list[str]


class OipModels(BaseModel):
    models: list[str]


class OipModelReady(BaseModel):
    name: str
    ready: bool


class OipTensorMetadata(BaseModel):
    name: str
    datatype: str
    shape: list[int] = Field(description="Free dimensions are -1.")


class OipModel(BaseModel):
    name: str
    versions: list[str]
    platform: str
    inputs: list[OipTensorMetadata]
    outputs: list[OipTensorMetadata]
    properties: dict[str, str] = Field(
        description=(
            "The model's own type of what is no tensor, as `outputs.NAME.type`, and "
            "class labels, as JSON in `outputs.NAME.labels`."
        )
    )


class InferInput(BaseModel):
    name: str
    datatype: str = Field(description="BOOL, INT64, FP32, BYTES, …")
    shape: list[int]
    parameters: Parameters | None = Field(
        None, description="`binary_data_size`: the data follow the JSON as bytes."
    )
    data: list[Any] | None = Field(
        None,
        description=(
            'Nested or flat, row-major. NaN and infinities as "NaN", "Infinity" and '
            '"-Infinity"; bytes that are no UTF-8 as {"b64": "…"}.'
        ),
    )


class InferRequestedOutput(BaseModel):
    name: str
    parameters: Parameters | None = Field(
        None, description="`binary_data`, `classification`."
    )


class InferRequest(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "42",
                    "inputs": [
                        {
                            "name": "features",
                            "datatype": "FP32",
                            "shape": [1, len(FEATURES)],
                            "data": list(FEATURES.values()),
                        }
                    ],
                }
            ]
        }
    )

    id: str | None = Field(None, description="Comes back in the answer.")
    parameters: Parameters | None = Field(
        None,
        description=(
            "`binary_data_output`; `timeout` in microseconds; `priority` is accepted."
        ),
    )
    inputs: list[InferInput]
    outputs: list[InferRequestedOutput] | None = Field(
        None, description="The outputs wanted; all."
    )


class InferOutput(BaseModel):
    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | None = None
    data: list[Any] | None = None


class InferResponse(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[InferOutput]


class OipVersionPolicyLatest(BaseModel):
    num_versions: int


class OipVersionPolicy(BaseModel):
    latest: OipVersionPolicyLatest


class OipConfigInput(BaseModel):
    name: str
    data_type: str
    format: str
    dims: list[int]
    is_shape_tensor: bool
    allow_ragged_batch: bool
    optional: bool


class OipConfigOutput(BaseModel):
    name: str
    data_type: str
    dims: list[int]
    label_filename: str
    is_shape_tensor: bool


class OipConfigParameter(BaseModel):
    string_value: str


class OipResponseCache(BaseModel):
    enable: bool


class OipConfig(BaseModel):
    """`max_batch_size` is 0: `dims` are whole, a batch dimension included."""

    name: str
    platform: str
    backend: str
    version_policy: OipVersionPolicy
    max_batch_size: int
    input: list[OipConfigInput]
    output: list[OipConfigOutput]
    default_model_filename: str
    response_cache: OipResponseCache
    parameters: dict[str, OipConfigParameter]


class OipDuration(BaseModel):
    count: int
    ns: int


class OipInferStatistics(BaseModel):
    success: OipDuration
    fail: OipDuration
    queue: OipDuration
    compute_input: OipDuration
    compute_infer: OipDuration
    compute_output: OipDuration
    cache_hit: OipDuration
    cache_miss: OipDuration


class OipBatchStatistics(BaseModel):
    batch_size: int
    compute_input: OipDuration
    compute_infer: OipDuration
    compute_output: OipDuration


class OipMemoryUsage(BaseModel):
    type: str
    id: int
    byte_size: int


class OipModelStatistics(BaseModel):
    """Since the process started. `compute_*` and the counts leave out cache hits."""

    name: str
    version: str
    last_inference: int = Field(description="Milliseconds since 1970; 0 for never.")
    inference_count: int
    execution_count: int
    inference_stats: OipInferStatistics
    response_stats: dict[str, Any]
    batch_stats: list[OipBatchStatistics]
    memory_usage: list[OipMemoryUsage]


class OipStatistics(BaseModel):
    model_stats: list[OipModelStatistics]


class IndexRequest(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"ready": True}]})

    ready: bool = Field(False, description="Only versions that are ready.")


class IndexEntry(BaseModel):
    name: str
    version: str
    state: str = Field(description="READY, LOADING or UNAVAILABLE.")
    reason: str | None = None


class LoadRequest(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"parameters": {"version": "1.0.0"}}]}
    )

    parameters: dict[str, str] = Field(
        default_factory=dict,
        description=(
            "`version` or alias; or a new version in base64, as "
            "`file:<version>/model.onnx`, with a `config`, which may be `{}`."
        ),
    )


class UnloadRequest(BaseModel):
    parameters: dict[str, str | bool] = Field(
        default_factory=dict,
        description="`version` or alias; all versions without one.",
    )
