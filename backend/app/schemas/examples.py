"""The row that the documentation's examples send: it fits the example model."""

from typing import Any

MODEL = "wine"
FEATURES: dict[str, Any] = {
    "alcohol": 12.72,
    "malic_acid": 1.75,
    "ash": 2.28,
    "alcalinity_of_ash": 22.5,
    "magnesium": 84.0,
    "total_phenols": 1.38,
    "flavanoids": 1.76,
    "nonflavanoid_phenols": 0.48,
    "proanthocyanins": 1.63,
    "color_intensity": 3.3,
    "hue": 0.88,
    "od280/od315_of_diluted_wines": 2.42,
    "proline": 488.0,
}
# What the parameters of paths stand for in the documentation.
PARAMETERS = {"ref": MODEL, "name": MODEL, "alias": "production", "version": "1.0.0"}
