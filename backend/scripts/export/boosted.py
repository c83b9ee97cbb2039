# mypy: disable-error-code="import-not-found, import-untyped"
# (The libraries that train are not in the environment that checks types.)
"""XGBoost and LightGBM models, through onnxmltools."""

import numpy as np
from lightgbm import LGBMClassifier
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.datasets import load_iris, load_wine, make_classification
from xgboost import XGBClassifier

from .record import Record, write_model

XGBOOST = ("xgboost", "onnxmltools", "skl2onnx", "onnx", "scikit-learn", "numpy")
LIGHTGBM = ("lightgbm", "onnxmltools", "skl2onnx", "onnx", "scikit-learn", "numpy")
OPSET = 15


def xgboost_binary() -> None:
    x, y = make_classification(
        n_samples=600, n_features=18, n_informative=10, random_state=0
    )
    x = x.astype(np.float32)
    model = XGBClassifier(n_estimators=40, max_depth=3, n_jobs=1, random_state=0)
    model.fit(x, y)
    rows = x[[0, 1, 2, 3, 4]]
    record = Record(
        name="xgboost_18_features",
        description="XGBClassifier of two classes, no ZipMap.",
        libraries=XGBOOST,
        data="scikit-learn's make_classification: 600 rows, 18 features, seed 0.",
        inputs={"input": rows},
        expected={
            "label": model.predict(rows),
            "probabilities": model.predict_proba(rows),
        },
        feature_names=tuple(f"f{column}" for column in range(18)),
    )
    types = [("input", FloatTensorType([None, 18]))]
    write_model(
        convert_xgboost(model, record.name, initial_types=types, target_opset=OPSET),
        record,
    )


def lightgbm_plain() -> None:
    bunch = load_iris()
    x, y = bunch.data.astype(np.float32), bunch.target
    model = small_lightgbm().fit(x, y)
    rows = x[[0, 60, 70, 149]]
    record = Record(
        name="lightgbm_iris",
        description="LGBMClassifier of three classes, zipmap off.",
        libraries=LIGHTGBM,
        data="scikit-learn's load_iris: 150 rows, 4 features, 3 classes.",
        inputs={"input": rows},
        expected={
            "label": model.predict(rows),
            "probabilities": model.predict_proba(rows).astype(np.float32),
        },
        feature_names=tuple(bunch.feature_names),
    )
    types = [("input", FloatTensorType([None, 4]))]
    write_model(
        convert_lightgbm(model, record.name, types, target_opset=OPSET, zipmap=False),
        record,
    )


def lightgbm_zipmap() -> None:
    bunch = load_wine()
    x, y = bunch.data.astype(np.float32), bunch.target
    model = small_lightgbm().fit(x, y)
    rows = x[[0, 60, 100, 150]]
    record = Record(
        name="lightgbm_wine_zipmap",
        description="LGBMClassifier of three classes, zipmap on.",
        libraries=LIGHTGBM,
        data="scikit-learn's load_wine: 178 rows, 13 features, 3 classes.",
        inputs={"input": rows},
        expected={"label": model.predict(rows)},
        feature_names=tuple(bunch.feature_names),
    )
    types = [("input", FloatTensorType([None, 13]))]
    write_model(
        convert_lightgbm(model, record.name, types, target_opset=OPSET, zipmap=True),
        record,
    )


def small_lightgbm() -> LGBMClassifier:
    return LGBMClassifier(
        n_estimators=20,
        num_leaves=7,
        n_jobs=1,
        random_state=0,
        deterministic=True,
        force_row_wise=True,
        verbose=-1,
    )


def main() -> None:
    xgboost_binary()
    lightgbm_plain()
    lightgbm_zipmap()


if __name__ == "__main__":
    main()
