"""Bodies of predict and score, for the OpenAPI document.

Bodies are read by `app.codecs`; these say in OpenAPI's words what that takes.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.examples import FEATURES


class PredictRequest(BaseModel):
    """Exactly one of input_data, features and rows."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"features": FEATURES},
                {"rows": [FEATURES, FEATURES]},
                {"input_data": {"features": [list(FEATURES.values())]}},
            ]
        },
    )

    input_data: dict[str, Any] | None = Field(
        None,
        description=(
            "A tensor for every input: nested lists, or an object of shape and data."
        ),
    )
    features: dict[str, Any] | None = Field(
        None, description="One row, by feature name."
    )
    rows: list[dict[str, Any]] | None = Field(
        None, description="Many rows, by feature name."
    )
    outputs: list[str] | None = Field(None, description="The outputs wanted; all.")
    skip_cache: bool = Field(False, description="Run even if the answer is cached.")
    request_id: str | None = Field(
        None, description="Comes back in the answer and in X-Request-ID."
    )


class PredictResponse(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    id: str
    model_id: str
    model_name: str
    model_version: str
    output_data: dict[str, Any] = Field(description="Nested lists, by output.")
    output_shapes: dict[str, Any] | None = Field(
        None,
        description=(
            "The shapes that nested lists cannot say, as of a [0, 4], by output."
        ),
    )
    predictions: list[dict[str, Any]] | None = Field(
        None, description="One object per row, when rows were sent."
    )
    ignored_features: list[str] | None = None
    request_id: str | None = None
    inference_time_ms: float
    cached: bool
    created_at: datetime


class ScoreRequest(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"features": FEATURES}]})

    features: dict[str, Any]


class Score(BaseModel):
    score: float
    confidence: float | None = Field(
        None, description="The top class's probability; absent for a regression."
    )


class About(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_id: str
    model_name: str
    model_version: str
    cached: bool
    ignored_features: list[str] | None = None


class ScoreResponse(Score, About):
    pass


class ScoreBatchRequest(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"rows": [FEATURES]}]})

    rows: list[dict[str, Any]]


class ScoreBatchResponse(About):
    scores: list[Score]
