"""The file that holds the first admin key."""

import subprocess
from pathlib import Path

import pytest

from app.runtime.identity import write_secret
from tests.live import MLFORGE, environment
from tests.processes import free_port


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


def test_a_server_that_can_not_write_it_says_so_without_a_stack(tmp_path: Path) -> None:
    (tmp_path / "data" / "admin-key").mkdir(parents=True)
    settings = {"auth": "on", "data_dir": tmp_path / "data", "port": free_port()}
    done = subprocess.run(
        [MLFORGE, "serve"],
        cwd=tmp_path,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 3, said
    assert "The first admin key can't be written to" in said
    assert "Traceback" not in said
