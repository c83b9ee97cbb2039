import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PRELUDE = """
import json, os, socket, sys
from pathlib import Path
from app.engine import sandbox

def attempt(what):
    try:
        what()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "allowed"
"""


def in_child(body: str, *arguments: object) -> Any:
    """What the child prints as JSON at the end of `body`."""
    ended = subprocess.run(
        [sys.executable, "-c", PRELUDE + body, *map(str, arguments)],
        capture_output=True,
        timeout=60,
        check=True,
    )
    return json.loads(ended.stdout)


def test_only_the_given_folder_can_be_read(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "file").write_text("x")
    result = in_child(
        """
inside, outside = map(Path, sys.argv[1:])
version = sandbox.confine([inside])
client = socket.socket()
print(json.dumps({
    "version": version,
    "inside": attempt((inside / "file").read_text),
    "outside": attempt((outside / "file").read_text),
    "environment": attempt(Path("/proc/self/environ").read_text),
    "write": attempt(lambda: (inside / "new").write_text("x")),
    "remove": attempt((inside / "file").unlink),
    "connect": attempt(lambda: client.connect(("127.0.0.1", 9))),
}))
""",
        inside,
        outside,
    )
    assert result["inside"] == "allowed"
    if result["version"] == 0:  # A kernel without it: the other bounds remain.
        assert result["outside"] == "allowed"
        return
    assert result["outside"] == result["environment"] == "PermissionError"
    assert result["write"] == result["remove"] == "PermissionError"
    if result["version"] >= 4:
        assert result["connect"] == "PermissionError"


def test_nothing_can_be_opened_once_forbidden(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    result = in_child(
        """
already_open = open(sys.argv[1])
sandbox.forbid_opening()
print(json.dumps({
    "file": attempt(Path(sys.argv[1]).read_text),
    "socket": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
    "pipe": attempt(os.pipe),
    "already_open": already_open.read(),
    "instead": attempt(lambda: (os.close(0), Path(sys.argv[1]).read_text())),
}))
""",
        tmp_path / "file",
    )
    assert result == {
        "file": "OSError",
        "socket": "OSError",
        "pipe": "OSError",
        "already_open": "x",
        "instead": "OSError",
    }


def test_memory_cpu_and_files_are_bounded(tmp_path: Path) -> None:
    result = in_child(
        """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sandbox.forbid_processes()
sandbox.limit_resources(memory_bytes=64 * 2**20, cpu_s=3)
print(json.dumps({
    "little": attempt(lambda: bytearray(2**20)),
    "much": attempt(lambda: bytearray(2**27)),
    "cpu": resource.getrlimit(resource.RLIMIT_CPU),
    "write": attempt(lambda: Path(sys.argv[1]).write_text("x")),
    "processes": resource.getrlimit(resource.RLIMIT_NPROC),
    "privileges": sandbox.has_no_new_privileges(),
    "confined": (sandbox.confine([]), sandbox.has_no_new_privileges())[1],
}))
""",
        tmp_path / "new",
    )
    assert result == {
        "little": "allowed",
        "much": "MemoryError",
        "cpu": [3, 4],
        "write": "OSError",
        "processes": [0, 0],
        "privileges": False,
        "confined": True,
    }


def test_a_child_of_another_parent_ends_at_once() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PRELUDE + "sandbox.die_with_parent(1)"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert b"the parent is gone" in ended.stderr
