"""Writes the lock files from pyproject.toml, or checks that they are fresh.

requirements.lock is what MLForge runs with, requirements-dev.lock adds the tools; what
looks for known vulnerabilities and the clients of other projects that tests run have
locks of their own. All hold every platform's hashes and no address.
"""

import argparse
import difflib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BACKEND = Path(__file__).resolve().parents[1]
RUNTIME_LOCK = "requirements.lock"
DEV_LOCK = "requirements-dev.lock"
CLIENTS_LOCK = "tests/clients/requirements.lock"
AUDIT_LOCK = "requirements-audit.lock"
LOCKS = (RUNTIME_LOCK, DEV_LOCK, CLIENTS_LOCK, AUDIT_LOCK)
PROJECT = ("pyproject.toml", "--group=build")
CLIENTS = ("tests/clients/requirements.in",)
AUDIT = ("requirements-audit.in",)


def compile_locks(folder: Path, *, upgrade: bool) -> None:
    """Resolves into the locks of `folder`; pins found there are kept."""
    _compile(folder / RUNTIME_LOCK, *PROJECT, upgrade=upgrade)
    # The tools must not change what the product runs with.
    constraint = f"--constraints={folder / RUNTIME_LOCK}"
    _compile(folder / DEV_LOCK, *PROJECT, "--extra=dev", constraint, upgrade=upgrade)
    _compile(folder / CLIENTS_LOCK, *CLIENTS, upgrade=upgrade)
    _compile(folder / AUDIT_LOCK, *AUDIT, upgrade=upgrade)


def _compile(lock: Path, *options: str, upgrade: bool) -> None:
    command = [
        str(Path(sys.executable).with_name("uv")),
        *("pip", "compile", *options),
        *("--universal", "--python-version=3.11", "--generate-hashes"),
        # pip can't tell that a pin of `name` also pins the `name[extra]` a package asks
        # for, and stops with an error on the day a newer version appears.
        "--no-strip-extras",
        *("--no-annotate", "--no-header", "--no-emit-index-url", "--quiet"),
        *(["--upgrade"] if upgrade else []),
        f"--output-file={lock}",
    ]
    subprocess.run(command, cwd=BACKEND, check=True, timeout=300)


def stale_lines() -> list[str]:
    """How fresh locks would differ from the committed ones."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in LOCKS:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(BACKEND / name, folder / name)
        compile_locks(folder, upgrade=False)
        return [
            line
            for name in LOCKS
            for line in difflib.unified_diff(
                (BACKEND / name).read_text().splitlines(),
                (folder / name).read_text().splitlines(),
                f"{name} (committed)",
                f"{name} (fresh)",
                lineterm="",
            )
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("--upgrade", action="store_true", help="take newest versions")
    arguments = parser.parse_args()
    if not arguments.check:
        compile_locks(BACKEND, upgrade=arguments.upgrade)
        return 0
    stale = stale_lines()
    if stale:
        sys.stderr.write("\n".join([*stale[:40], "The lock is stale: make lock", ""]))
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
