# mypy: disable-error-code="import-not-found, import-untyped"
# (The libraries that train are not in the environment that checks types.)
"""The example model that the package ships: which of three wines is this?"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from .record import BACKEND, Array, plain, write_json

EXAMPLE = BACKEND / "app" / "cli" / "example"
OPSET = {"": 21, "ai.onnx.ml": 3}

# scikit-learn calls the classes class_0 to class_2. The makers of the data named
# the wines: 59 of Barolo, 71 of Grignolino, 48 of Barbera, in this order.
CULTIVARS = np.array(["Barolo", "Grignolino", "Barbera"], dtype=object)

SOURCE = (
    "S. Aeberhard and M. Forina (1992), Wine, UCI Machine Learning Repository, "
    "doi:10.24432/C5PC7J, as carried by scikit-learn (load_wine). Cultivar names: "
    "M. Forina, C. Armanino, M. Castino and M. Ubigli (1986), Vitis 25, 189-201."
)


@dataclass(frozen=True, slots=True)
class Trained:
    model: Any
    feature_names: tuple[str, ...]
    sample: Array
    label: str
    held_out: int
    right: int


def train() -> Trained:
    """The sample, and the rows that are counted, were not trained on."""
    bunch = load_wine()
    x, y = bunch.data.astype(np.float32), CULTIVARS[bunch.target]
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=0.25, stratify=y, random_state=0
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(random_state=0))
    model.fit(x_train, y_train)
    return Trained(
        model=model,
        feature_names=tuple(str(name) for name in bunch.feature_names),
        sample=x_test[0],
        label=y_test[0],
        held_out=len(y_test),
        right=int((model.predict(x_test) == y_test).sum()),
    )


def convert(model: Pipeline, feature_names: tuple[str, ...]) -> onnx.ModelProto:
    """Adds the feature names, so that rows can be sent by name at once."""
    converted: onnx.ModelProto = convert_sklearn(
        model,
        "wine",
        initial_types=[("features", FloatTensorType([None, len(feature_names)]))],
        target_opset=OPSET,
    )
    rename_outputs(
        converted,
        {"output_label": "label", "output_probability": "probabilities"},
    )
    entry = converted.metadata_props.add()
    entry.key, entry.value = "feature_names", json.dumps(feature_names)
    onnx.checker.check_model(converted)
    return converted


def rename_outputs(model: onnx.ModelProto, names: dict[str, str]) -> None:
    for node in model.graph.node:
        node.input[:] = [inner_name(name, names) for name in node.input]
        node.output[:] = [inner_name(name, names) for name in node.output]
    for output in model.graph.output:
        output.name = names[output.name]


def inner_name(name: str, names: dict[str, str]) -> str:
    """Makes room where a value inside the graph already has the new name."""
    return f"{name}_inside" if name in names.values() else names.get(name, name)


def describe(trained: Trained) -> dict[str, object]:
    row = dict(zip(trained.feature_names, plain(trained.sample), strict=True))
    return {
        "name": "wine",
        "description": "Tells three wines of Piedmont apart by 13 measurements. "
        "scikit-learn: StandardScaler and LogisticRegression; right on "
        f"{trained.right} of {trained.held_out} held-out rows.",
        "source": SOURCE,
        "licence": "CC BY 4.0",
        "sample": {"features": row},
        "true_label": trained.label,
    }


def check(content: bytes, trained: Trained) -> None:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    row = trained.sample.reshape(1, -1)
    labels, probabilities = session.run(None, {"features": row})
    expected = dict(
        zip(trained.model.classes_, trained.model.predict_proba(row)[0], strict=True)
    )
    close = np.allclose(
        [probabilities[0][name] for name in expected],
        list(expected.values()),
        atol=1e-5,
    )
    if labels[0] != trained.label or not close:
        raise ValueError("the example does not give scikit-learn's answer")


def main() -> None:
    trained = train()
    model = convert(trained.model, trained.feature_names)
    content = model.SerializeToString(deterministic=True)
    check(content, trained)
    EXAMPLE.mkdir(exist_ok=True)
    (EXAMPLE / "wine.onnx").write_bytes(content)
    write_json(EXAMPLE / "wine.json", describe(trained))


if __name__ == "__main__":
    main()
