"""Where and with what a measurement was made."""

import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from app import __version__

PACKAGES = (
    "onnxruntime",
    "numpy",
    "uvicorn",
    "uvloop",
    "httptools",
    "orjson",
    "grpcio",
)


def describe() -> dict[str, object]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "mlforge": __version__,
        "packages": {name: version(name) for name in PACKAGES},
    }


def today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


def command(module: str) -> str:
    """The command that runs now, as one types it in backend/, with no path in it."""
    words = [_pathless(word) for word in sys.argv[1:]]
    return shlex.join(["../.venv/bin/python", "-m", module, *words])


def _pathless(word: str) -> str:
    return Path(word).name if word.startswith("/") else word


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor() or platform.machine()
