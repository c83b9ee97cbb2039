"""Checks that the packages strangers' bytes reach first are at their newest patch.

Fixes of memory errors in ONNX Runtime come as patches with no number of a list of
vulnerabilities, so an audit alone does not tell of them. A newer minor or major version
is told of and is no error. Asks the package index.
"""

import re
import subprocess
import sys
from pathlib import Path

from scripts.lock import BACKEND, RUNTIME_LOCK

EXPOSED = ("onnxruntime", "onnx", "starlette", "python-multipart", "uvicorn")
_PIN = re.compile(r"^([a-z0-9-]+)(?:\[[a-z,-]+\])?==([^\s;\\]+)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    """What the text of a lock pins each package at."""
    return dict(_PIN.findall(lock))


def series(version: str) -> str:
    """The requirement that a version and its patches meet."""
    major, minor, *_ = version.split(".")
    return f"=={major}.{minor}.*"


def newest(requirements: list[str]) -> dict[str, str]:
    """The newest version of each that meets its requirement."""
    uv = str(Path(sys.executable).with_name("uv"))
    found = subprocess.run(
        [uv, "pip", "compile", "--no-deps", "--no-header", "--no-annotate", "-"],
        input="\n".join(requirements),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return pins(found.stdout)


def main() -> int:
    pinned = pins((BACKEND / RUNTIME_LOCK).read_text())
    patches = newest([f"{name}{series(pinned[name])}" for name in EXPOSED])
    versions = newest(list(EXPOSED))
    for name in EXPOSED:
        told = f"{name} {pinned[name]}: newest patch {patches[name]}"
        sys.stdout.write(f"{told}, newest version {versions[name]}\n")
    behind = [name for name in EXPOSED if patches[name] != pinned[name]]
    if behind:
        sys.stderr.write(f"Behind in patches: {', '.join(behind)}. Run: make upgrade\n")
    return 1 if behind else 0


if __name__ == "__main__":
    sys.exit(main())
