"""One ONNX model with the same session settings for every peer."""

import os

import numpy as np
import onnxruntime

DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
WORDS = {"float32": "FP32", "int64": "INT64"}


class OrtModel:
    def __init__(self, path):
        self.path = path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.inputs = {one.name: one for one in self.session.get_inputs()}
        self.outputs = {one.name: one for one in self.session.get_outputs()}
        self.dtypes = {name: DTYPES[one.type] for name, one in self.inputs.items()}

    def __reduce__(self):  # A session can't be sent to a worker; it opens its own.
        return OrtModel, (self.path,)

    def feeds(self, named):
        return {
            name: np.array(value, self.dtypes[name]) for name, value in named.items()
        }

    def run(self, feeds):
        return self.session.run(list(self.outputs), feeds)


def from_environment():
    return OrtModel(os.environ["BENCH_MODEL"])
