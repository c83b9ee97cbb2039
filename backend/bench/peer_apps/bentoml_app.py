"""BentoML, one worker; the tabular model runs on its loop."""

from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import DType
from ortmodel import from_environment

Floats = Annotated[np.ndarray, DType("float32")]


@bentoml.service(
    workers=1,
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
)
class Bench:
    def __init__(self):
        self.model = from_environment()

    @bentoml.api
    async def predict(self, input: Floats) -> np.ndarray:  # noqa: A002 - the input's name
        return self.model.run({"input": input})[-1]
