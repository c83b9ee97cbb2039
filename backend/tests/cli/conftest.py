"""Commands of `mlforge` that end, on a data folder of the test's own."""

import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.live import MLFORGE, environment

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def mlforge(tmp_path: Path) -> Run:
    """Runs one, and sees that it ends with `status` and without a traceback."""

    def run(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [MLFORGE, *words],
            cwd=tmp_path,
            env=environment({"data_dir": tmp_path / "data"}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr + done.stdout
        return done

    return run


@pytest.fixture
def keys(mlforge: Run) -> Run:
    return partial(mlforge, "keys")
