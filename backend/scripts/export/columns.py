# mypy: disable-error-code="import-not-found, import-untyped"
# (The libraries that train are not in the environment that checks types.)
"""scikit-learn pipelines whose inputs are columns of strings and numbers, and text."""

from typing import Any

import numpy as np
import pandas as pd
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import (
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from .record import Array, Record, write_model

OPSET = {"": 21, "ai.onnx.ml": 3}
LIBRARIES = ("scikit-learn", "skl2onnx", "onnx", "numpy", "pandas")

STRINGS = ["sex", "bmi_class"]
CATEGORIES = ["age_decade"]
COUNTS = ["age"]
MEASURES = ["bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]


def diabetes_columns() -> tuple[Any, Array]:
    """The diabetes data in its own units, with words made from its numbers."""
    bunch = load_diabetes(as_frame=True, scaled=False)
    frame = bunch.data
    table = pd.DataFrame(
        {
            "sex": frame["sex"].map({1.0: "sex_1", 2.0: "sex_2"}).astype(object),
            "bmi_class": pd.cut(
                frame["bmi"],
                [0, 18.5, 25, 30, 100],
                labels=["underweight", "normal", "overweight", "obese"],
                right=False,
            ).astype(object),
            "age_decade": (frame["age"] // 10 * 10).astype(np.int64),
            "age": frame["age"].astype(np.int64),
            **{name: frame[name].astype(np.float32) for name in MEASURES},
        }
    )
    above = bunch.target > bunch.target.median()
    return table, np.where(above, "high", "low").astype(object)


def column_type(name: str) -> object:
    if name in STRINGS:
        return StringTensorType([None, 1])
    if name in CATEGORIES + COUNTS:
        return Int64TensorType([None, 1])
    return FloatTensorType([None, 1])


def column(frame: Any, name: str) -> Array:
    return np.asarray(frame[name].to_numpy()).reshape(-1, 1)


def mixed_columns() -> None:
    table, y = diabetes_columns()
    model = make_pipeline(
        ColumnTransformer(
            [
                ("strings", OneHotEncoder(handle_unknown="ignore"), STRINGS),
                ("decades", OneHotEncoder(handle_unknown="ignore"), CATEGORIES),
                ("counts", StandardScaler(), COUNTS),
                ("measures", StandardScaler(), MEASURES),
            ]
        ),
        LogisticRegression(max_iter=1000),
    ).fit(table, y)
    rows = table.iloc[[0, 1, 2, 70, 300]]
    name = "sklearn_diabetes_mixed_columns"
    record = Record(
        name=name,
        description="ColumnTransformer of OneHotEncoder and StandardScaler, then "
        "LogisticRegression; each input one column: string, int64 or float32; ZipMap.",
        libraries=LIBRARIES,
        data="scikit-learn's load_diabetes(scaled=False): 442 rows. Derived: sex as "
        "sex_1 or sex_2, bmi_class by the WHO limits 18.5, 25 and 30, age_decade; the "
        "label is high where the progression is above its median, else low.",
        inputs={name: column(rows, name) for name in table.columns},
        expected={"output_label": model.predict(rows)},
    )
    types = [(name, column_type(name)) for name in table.columns]
    write_model(
        convert_sklearn(model, name, initial_types=types, target_opset=OPSET), record
    )


REVIEWS = {
    "good": [
        "a lovely film with a warm heart and a good story",
        "the actors are great and the music is beautiful",
        "good pace great photography and a happy end",
        "I loved every minute of it",
        "beautiful and funny the best evening of the year",
    ],
    "bad": [
        "a dull film with a weak story",
        "the actors are tired and the music is loud",
        "poor pace ugly photography and a silly end",
        "I hated every minute of it",
        "boring and long the worst evening of the year",
    ],
}


def text() -> None:
    words = [review for reviews in REVIEWS.values() for review in reviews]
    labels = [label for label, reviews in REVIEWS.items() for _ in reviews]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10))
    model.fit(words, labels)
    rows = np.array(
        ["A great story, loved it!", "dull and ugly", "the worst film", ""],
        dtype=object,
    )
    name = "sklearn_text_tfidf"
    record = Record(
        name=name,
        description="TfidfVectorizer and LogisticRegression on one column of text.",
        libraries=LIBRARIES,
        data="Ten short film reviews written for this script: 5 good, 5 bad.",
        inputs={"text": rows.reshape(-1, 1)},
        expected={
            "label": model.predict(rows),
            "probabilities": model.predict_proba(rows).astype(np.float32),
        },
    )
    onnx_model = convert_sklearn(
        model,
        name,
        initial_types=[("text", StringTensorType([None, 1]))],
        options={
            LogisticRegression: {"zipmap": False},
            TfidfVectorizer: {"locale": "C"},
        },
        target_opset=OPSET,
    )
    write_model(onnx_model, record)


def main() -> None:
    mixed_columns()
    text()


if __name__ == "__main__":
    main()
