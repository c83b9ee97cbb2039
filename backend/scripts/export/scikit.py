# mypy: disable-error-code="import-not-found, import-untyped"
# (The libraries that train are not in the environment that checks types.)
"""scikit-learn models on one matrix of numbers, through skl2onnx."""

import numpy as np
import onnx
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.cluster import KMeans
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    load_linnerud,
    load_wine,
)
from sklearn.ensemble import (
    GradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .record import Array, Record, write_model

OPSET = {"": 21, "ai.onnx.ml": 3}
LIBRARIES = ("scikit-learn", "skl2onnx", "onnx", "numpy")

Options = dict[type, dict[str, bool]] | None


def convert(
    model: object, name: str, *, columns: int, options: Options = None
) -> onnx.ModelProto:
    """The graph's name is given, since skl2onnx would make up a new one each time."""
    converted: onnx.ModelProto = convert_sklearn(
        model,
        name,
        initial_types=[("X", FloatTensorType([None, columns]))],
        options=options,
        target_opset=OPSET,
    )
    return converted


def matrix(data: object) -> Array:
    return np.asarray(data, dtype=np.float32)


def classifier_int_labels() -> None:
    bunch = load_breast_cancer()
    x, y = matrix(bunch.data), bunch.target.astype(np.int64)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    rows = x[[0, 19, 21, 300, 568]]
    name = "sklearn_breast_cancer_int_labels"
    record = Record(
        name=name,
        description="StandardScaler and LogisticRegression, int64 labels, ZipMap.",
        libraries=LIBRARIES,
        data="scikit-learn's load_breast_cancer: 569 rows, 30 features, 2 classes.",
        inputs={"X": rows},
        expected={"output_label": model.predict(rows)},
        feature_names=tuple(str(name) for name in bunch.feature_names),
    )
    write_model(convert(model, name, columns=30), record)


def classifier_string_labels() -> None:
    bunch = load_wine()
    x, y = matrix(bunch.data), bunch.target_names[bunch.target]
    model = RandomForestClassifier(n_estimators=20, max_depth=5, random_state=0)
    model.fit(x, y)
    rows = x[[0, 60, 100, 150, 177]]
    name = "sklearn_wine_string_labels"
    record = Record(
        name=name,
        description="RandomForestClassifier, string labels, ZipMap.",
        libraries=LIBRARIES,
        data="scikit-learn's load_wine: 178 rows, 13 features, 3 classes.",
        inputs={"X": rows},
        expected={"output_label": model.predict(rows)},
        feature_names=tuple(bunch.feature_names),
    )
    write_model(convert(model, name, columns=13), record)


def regressor() -> None:
    bunch = load_diabetes()
    x, y = matrix(bunch.data), bunch.target
    model = GradientBoostingRegressor(n_estimators=60, random_state=0).fit(x, y)
    rows = x[[0, 1, 100, 441]]
    name = "sklearn_diabetes_regressor"
    record = Record(
        name=name,
        description="GradientBoostingRegressor, one number a row.",
        libraries=LIBRARIES,
        data="scikit-learn's load_diabetes: 442 rows, 10 scaled features.",
        inputs={"X": rows},
        expected={"variable": matrix(model.predict(rows)).reshape(-1, 1)},
        feature_names=tuple(bunch.feature_names),
    )
    write_model(convert(model, name, columns=10), record)


def many_targets() -> None:
    bunch = load_linnerud()
    x, y = matrix(bunch.data), bunch.target
    model = LinearRegression().fit(x, y)
    rows = x[[0, 7, 19]]
    name = "sklearn_linnerud_three_targets"
    record = Record(
        name=name,
        description="LinearRegression of three targets: weight, waist, pulse.",
        libraries=LIBRARIES,
        data="scikit-learn's load_linnerud: 20 rows, 3 features, 3 targets.",
        inputs={"X": rows},
        expected={"variable": matrix(model.predict(rows))},
        feature_names=tuple(bunch.feature_names),
    )
    write_model(convert(model, name, columns=3), record)


def many_labels() -> None:
    bunch = load_linnerud()
    x = matrix(bunch.data)
    y = (bunch.target > np.median(bunch.target, axis=0)).astype(np.int64)
    model = MultiOutputClassifier(LogisticRegression(max_iter=1000))
    model.fit(x, y)
    rows = x[[0, 7, 19]]
    name = "sklearn_linnerud_multilabel"
    probabilities = np.stack(model.predict_proba(rows)).astype(np.float32)
    record = Record(
        name=name,
        description="MultiOutputClassifier: probabilities as a sequence of tensors.",
        libraries=LIBRARIES,
        data="scikit-learn's load_linnerud; each target is above its median or not.",
        inputs={"X": rows},
        expected={"label": model.predict(rows), "probabilities": probabilities},
        feature_names=tuple(bunch.feature_names),
    )
    options: Options = {MultiOutputClassifier: {"zipmap": False}}
    write_model(convert(model, name, columns=3, options=options), record)


def anomalies() -> None:
    bunch = load_iris()
    x = matrix(bunch.data)
    model = IsolationForest(n_estimators=15, max_samples=64, random_state=0).fit(x)
    rows = x[[0, 41, 70, 131]]
    name = "sklearn_iris_isolation_forest"
    record = Record(
        name=name,
        description="IsolationForest: label 1 or -1, and a score, both [N, 1].",
        libraries=LIBRARIES,
        data="scikit-learn's load_iris: 150 rows, 4 features.",
        inputs={"X": rows},
        expected={"label": model.predict(rows).reshape(-1, 1)},
        feature_names=tuple(bunch.feature_names),
    )
    write_model(convert(model, name, columns=4), record)


def clusters() -> None:
    bunch = load_iris()
    x = matrix(bunch.data)
    model = KMeans(n_clusters=3, n_init=3, random_state=0).fit(x)
    rows = x[[0, 60, 149]]
    name = "sklearn_iris_kmeans"
    record = Record(
        name=name,
        description="KMeans: the cluster of each row, and the distances to all.",
        libraries=LIBRARIES,
        data="scikit-learn's load_iris: 150 rows, 4 features.",
        inputs={"X": rows},
        expected={"label": model.predict(rows), "scores": model.transform(rows)},
        feature_names=tuple(bunch.feature_names),
    )
    write_model(convert(model, name, columns=4), record)


def main() -> None:
    classifier_int_labels()
    classifier_string_labels()
    regressor()
    many_targets()
    many_labels()
    anomalies()
    clusters()


if __name__ == "__main__":
    main()
