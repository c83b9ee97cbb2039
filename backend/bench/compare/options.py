"""What every comparison is told."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    models: Path
    venvs: Path | None
    rounds: int
    seconds: float

    def model(self, name: str) -> Path:
        path = self.models / f"{name}.onnx"
        if not path.is_file():
            raise SystemExit(
                f"There is no {name}.onnx in --models-dir; make the models with: "
                "python -m bench.models FOLDER"
            )
        return path
