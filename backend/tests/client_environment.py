"""Other projects' clients, in the environment that `make test` makes for them."""

import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parent / "clients"
ENVIRONMENT = Path(sys.prefix).with_name(f"{Path(sys.prefix).name}-clients")
PYTHON = ENVIRONMENT / "bin" / "python"


def run_client(script: str, *arguments: str | Path) -> str:
    """What the script printed."""
    assert PYTHON.exists(), f"run `make {ENVIRONMENT.name}/.installed` first"
    run = subprocess.run(
        [PYTHON, script, *arguments],
        cwd=SCRIPTS,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout
