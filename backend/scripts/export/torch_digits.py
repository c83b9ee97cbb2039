# mypy: disable-error-code="import-not-found, import-untyped"
# (The libraries that train are not in the environment that checks types.)
"""PyTorch models of handwritten digits: one exported as one file, one as two."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from torch import nn

from .record import Array, Record, write_record

LIBRARIES = ("torch", "onnxscript", "onnx-ir", "onnx", "scikit-learn", "numpy")
DATA = "scikit-learn's load_digits: 1797 images of 8x8, 10 classes."
OPSET = 20


def digits() -> tuple[Array, Array]:
    """Images as float32 [N, 1, 8, 8] from 0 to 1, and their digits."""
    bunch = load_digits()
    images = (bunch.images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    return images, bunch.target


def train(model: Any, *, epochs: int) -> Any:
    images, labels = (torch.from_numpy(array) for array in digits())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(epochs):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model.eval()


def export(model: Any, record: Record, *, two_files: bool) -> None:
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        model,
        (torch.zeros(2, 1, 8, 8),),
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=({0: batch},),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    program.save(str(record.path), external_data=two_files)
    forget_paths(record.path)
    write_record(record)


def forget_paths(path: Path) -> None:
    """Takes out the traces with which the exporter names files of this machine."""
    model = onnx.load(path, load_external_data=False)
    for node in model.graph.node:
        kept = [item for item in node.metadata_props if "stack_trace" not in item.key]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    path.write_bytes(model.SerializeToString(deterministic=True))


def answers(model: Any, images: Array) -> Array:
    with torch.no_grad():
        logits: Array = model(torch.from_numpy(images)).numpy()
    return logits


def one_file() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 10),
    )
    model = train(network, epochs=60)
    images = digits()[0][[0, 1, 2]]
    record = Record(
        name="torch_digits_convnet",
        description="A convnet, torch.onnx.export(dynamo=True, external_data=False).",
        libraries=LIBRARIES,
        data=DATA,
        inputs={"image": images},
        expected={"logits": answers(model, images)},
    )
    export(model, record, two_files=False)


def two_files() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 320), nn.ReLU(), nn.Linear(320, 10)
    )
    model = train(network, epochs=60)
    images = digits()[0][[3, 4, 5]]
    name = "torch_digits_two_files"
    record = Record(
        name=name,
        description="Two linear layers, torch.onnx.export(external_data=True): the "
        "weights are in the .data file.",
        libraries=LIBRARIES,
        data=DATA,
        inputs={"image": images},
        expected={"logits": answers(model, images)},
        companions=(f"{name}.onnx.data",),
    )
    export(model, record, two_files=True)


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    one_file()
    two_files()


if __name__ == "__main__":
    main()
