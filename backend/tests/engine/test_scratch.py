import subprocess
import sys
from pathlib import Path

from app.engine.inspect import Inspector
from app.engine.scratch import EmptyFolder, sweep

DIES = """
import os, sys
from pathlib import Path
from app.engine.scratch import EmptyFolder
print(EmptyFolder.new(Path(sys.argv[1])).path, flush=True)
os.kill(os.getpid(), 9)
"""


def folder_of_a_dead_process(root: Path) -> Path:
    command = [sys.executable, "-c", DIES, str(root)]
    died = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False
    )
    return Path(died.stdout.strip())


def test_a_folder_is_there_until_it_is_removed(tmp_path: Path) -> None:
    root = tmp_path / "new"
    folder = EmptyFolder.new(root)
    assert list(root.iterdir()) == [folder.path]
    folder.remove()
    assert list(root.iterdir()) == []


def test_only_the_folders_of_the_dead_are_swept(tmp_path: Path) -> None:
    dead = folder_of_a_dead_process(tmp_path)
    assert dead.is_dir()
    living = EmptyFolder.new(tmp_path)
    (tmp_path / "other").mkdir()
    sweep(tmp_path)
    assert not dead.exists()
    assert living.path.is_dir()
    assert (tmp_path / "other").is_dir()
    living.remove()


def test_what_is_no_empty_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mlforge-inspect-file").write_text("x")
    (tmp_path / "mlforge-inspect-full").mkdir()
    (tmp_path / "mlforge-inspect-full" / "file").write_text("x")
    sweep(tmp_path)
    sweep(tmp_path / "not there")
    assert (tmp_path / "mlforge-inspect-file").exists()
    assert (tmp_path / "mlforge-inspect-full" / "file").exists()


def test_a_new_inspector_tidies_up_after_a_dead_one(tmp_path: Path) -> None:
    dead = folder_of_a_dead_process(tmp_path)
    Inspector(timeout_s=60, cpu_s=60, memory_mb=2048, concurrency=1, scratch=tmp_path)
    assert not dead.exists()
