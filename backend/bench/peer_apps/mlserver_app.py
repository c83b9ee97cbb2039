"""MLServer's custom runtime."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse
from ortmodel import from_environment


class Runtime(MLModel):
    async def load(self):
        self.model = from_environment()
        return True

    async def predict(self, payload):
        outputs = self.model.run(
            {one.name: NumpyCodec.decode_input(one) for one in payload.inputs}
        )
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                NumpyCodec.encode_output(name, array)
                for name, array in zip(self.model.outputs, outputs, strict=True)
            ],
        )
