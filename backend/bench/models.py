"""Writes the models that are measured; the same bytes each time.

    python -m bench.models FOLDER

    tabular  100 trees of depth 6 on 18 floats -> label, probabilities [N, 2]
    conv     a network of ResNet-18's shape, [N, 3, 224, 224] -> [N, 1000]
    encoder  6 layers like BERT's, hidden 384, int64 [N, S] -> embedding [N, 384]
    big100   64 -> 5000 -> 5000 -> 10, about 100 MB

A file that is there already is left as it is.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from bench.model_graphs import conv, encoder, mlp, trees

MAKERS: dict[str, Callable[[], bytes]] = {
    "tabular": trees,
    "conv": conv,
    "encoder": encoder,
    "big100": lambda: mlp((64, 5000, 5000, 10)),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.models", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in MAKERS.items():
        path = folder / f"{name}.onnx"
        if not path.exists():
            path.write_bytes(make())


if __name__ == "__main__":
    main()
