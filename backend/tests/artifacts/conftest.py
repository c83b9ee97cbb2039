from pathlib import Path

import pytest


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Where the `store` fixture keeps its files."""
    return tmp_path / "data"
