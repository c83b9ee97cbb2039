"""LitServe, one worker and one API process."""

import os

import litserve
from ortmodel import from_environment


class Bench(litserve.LitAPI):
    def setup(self, device):
        self.model = from_environment()

    def decode_request(self, request):
        return self.model.feeds(request["inputs"])

    def predict(self, feeds):
        return self.model.run(feeds)

    def encode_response(self, outputs):
        named = zip(self.model.outputs, outputs, strict=True)
        return {"outputs": {name: array.tolist() for name, array in named}}


if __name__ == "__main__":
    server = litserve.LitServer(
        Bench(), accelerator="cpu", workers_per_device=1, timeout=60
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
