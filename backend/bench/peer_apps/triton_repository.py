"""A model folder and a start script for the Triton server that nvidia-pytriton brings,
with its Python backend: `triton_repository.py FOLDER`. `BENCH_BATCH` 0: no batching."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytriton
from ortmodel import WORDS, from_environment

SCRIPT = """#!/bin/sh
export PYTHONPATH={site}:{here} LD_LIBRARY_PATH={libraries}
exec {folder}/triton/bin/tritonserver --model-repository {folder}/models \\
  --backend-directory {folder}/triton/backends --http-address 127.0.0.1 \\
  --grpc-address 127.0.0.1 --http-port $1 --grpc-port $2 --allow-metrics false \\
  --http-thread-count 2 --log-verbose 0
"""

# Triton's stub process sets a path of its own.
BACKEND = """
import sys

sys.path.insert(0, {here!r})

import numpy as np
import triton_python_backend_utils as backend
from ortmodel import from_environment

BATCH = {batch}


class TritonPythonModel:
    def initialize(self, args):
        self.model = from_environment()

    def execute(self, requests):
        feeds = [
            {{
                name: backend.get_input_tensor_by_name(request, name).as_numpy()
                for name in self.model.inputs
            }}
            for request in requests
        ]
        if len(feeds) == 1:
            return [self.answer(self.model.run(feeds[0]))]
        together = {{
            name: np.concatenate([feed[name] for feed in feeds])
            for name in self.model.inputs
        }}
        outputs, at, answers = self.model.run(together), 0, []
        for feed in feeds:
            rows = len(next(iter(feed.values())))
            answers.append(self.answer([one[at : at + rows] for one in outputs]))
            at += rows
        return answers

    def answer(self, outputs):
        return backend.InferenceResponse(
            [
                backend.Tensor(name, one.reshape(-1, 1) if BATCH and one.ndim == 1 else one)
                for name, one in zip(self.model.outputs, outputs)
            ]
        )
"""


def dims(shape, batch):
    sizes = [size if isinstance(size, int) else -1 for size in shape]
    return sizes[1 if batch else 0 :] or [1]


def tensors(values, batch):
    dtypes = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
    words = {one.name: WORDS[str(np.dtype(dtypes[one.type]))] for one in values}
    return ",".join(
        f'{{ name: "{one.name}" data_type: TYPE_{words[one.name]} '
        f"dims: {dims(one.shape, batch)} }}"
        for one in values
    )


def main():
    folder, batch = Path(sys.argv[1]).resolve(), int(os.environ["BENCH_BATCH"])
    here = Path(__file__).resolve().parent
    model = from_environment()
    home = folder / "models" / "bench"
    (home / "1").mkdir(parents=True)
    (home / "config.pbtxt").write_text(
        f'name: "bench"\nbackend: "python"\nmax_batch_size: {batch}\n'
        f"input [{tensors(model.inputs.values(), batch)}]\n"
        f"output [{tensors(model.outputs.values(), batch)}]\n"
        "instance_group [{ kind: KIND_CPU count: 2 }]\n"
        + ("dynamic_batching { }\n" if batch else "")
    )
    (home / "1" / "model.py").write_text(BACKEND.format(batch=batch, here=str(here)))
    bundled = Path(pytriton.__file__).parent / "tritonserver"
    shutil.copytree(
        bundled,
        folder / "triton",
        ignore=shutil.ignore_patterns("python_backend_stubs"),
    )
    stub = bundled / "python_backend_stubs" / "3.11" / "triton_python_backend_stub"
    shutil.copy(stub, folder / "triton" / "backends" / "python")
    site = next(path for path in sys.path if path.endswith("site-packages"))
    libraries = f"{site}/nvidia_pytriton.libs:{sysconfig.get_config_var('LIBDIR')}"
    script = folder / "run.sh"
    script.write_text(
        SCRIPT.format(site=site, here=here, libraries=libraries, folder=folder)
    )
    script.chmod(0o755)


if __name__ == "__main__":
    main()
