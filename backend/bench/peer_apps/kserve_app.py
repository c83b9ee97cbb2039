"""kserve's ModelServer with a model of its own."""

import kserve
from kserve import InferOutput, InferResponse, Model
from ortmodel import WORDS, from_environment


class Bench(Model):
    def load(self):
        self.model = from_environment()
        self.ready = True
        return True

    async def predict(self, payload, headers=None, response_headers=None):
        outputs = self.model.run({one.name: one.as_numpy() for one in payload.inputs})
        answers = []
        for name, array in zip(self.model.outputs, outputs, strict=True):
            answer = InferOutput(
                name=name, shape=list(array.shape), datatype=WORDS[str(array.dtype)]
            )
            answer.set_data_from_numpy(array, binary_data=payload.use_binary_outputs)
            answers.append(answer)
        return InferResponse(
            response_id=payload.id or "bench",
            model_name=self.name,
            infer_outputs=answers,
            use_binary_outputs=payload.use_binary_outputs,
        )


if __name__ == "__main__":
    arguments, _ = kserve.model_server.parser.parse_known_args()
    model = Bench("bench")
    model.load()
    kserve.ModelServer(
        http_port=arguments.http_port,
        grpc_port=arguments.grpc_port,
        workers=1,
        enable_grpc=True,
        access_log_format=None,
    ).start([model])
