"""The file that holds the first admin key."""

from pathlib import Path

import pytest

from app.runtime.identity import write_secret


def test_a_secret_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "admin-key"
    path.write_text("old")
    write_secret(path, "secret")
    assert path.read_text() == "secret"
    assert path.stat().st_mode & 0o777 == 0o600


def test_of_a_secret_that_can_not_be_written_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "admin-key"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_secret(path, "secret")
    assert list(tmp_path.iterdir()) == [path]
