"""The data folder: where artifacts lie, and who may move them."""

import fcntl
import os
from pathlib import Path

import pytest

from app.artifacts.layout import Layout

DIGEST = "ab" + "0" * 62


def test_only_one_holder_may_move_things_on_a_shelf(data_dir: Path) -> None:
    layout = Layout(data_dir)
    with layout.locked(DIGEST) as place:
        assert place == data_dir / "artifacts" / "ab" / DIGEST
        shelf = os.open(place.parent, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(shelf, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(shelf, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(shelf)
