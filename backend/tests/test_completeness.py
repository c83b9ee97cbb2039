"""A run that skipped, or left out a real server, does not pass and says why."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_servers import own_servers_environment

BACKEND = Path(__file__).parents[1]

PASSES = "def test_one(): pass"
SKIPS = "import pytest\ndef test_two(): pytest.skip('no server')"
IMPORT_SKIPS = "import pytest\npytest.importorskip('no_such_module')"
USES_BOTH = "def test_one(postgres_server, redis_server): pass"


def run_suite(folder: Path, test: str, *arguments: str) -> tuple[int, list[str]]:
    """The exit status and the lines of a pytest run under our hooks."""
    suite = folder / "suite"
    suite.mkdir()
    (suite / "test_it.py").write_text(test)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest"),
            *("-p", "no:cacheprovider", "-c", str(BACKEND / "pyproject.toml")),
            *("--rootdir", str(folder), "-o", "testpaths=suite", *arguments),
        ],
        cwd=folder,
        env={**own_servers_environment(), "PYTHONPATH": str(BACKEND)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def test_a_full_run_on_both_servers_passes_and_names_them(tmp_path: Path) -> None:
    status, lines = run_suite(tmp_path, USES_BOTH)
    assert status == 0, lines
    assert lines[-1].startswith("1 passed")
    said = lines[-2]
    assert said.startswith("MLForge ran against: SQLite 3.")
    assert "PostgreSQL 1" in said
    assert "Redis " in said
    assert "INCOMPLETE" not in "".join(lines)


def test_a_full_run_without_the_servers_fails(tmp_path: Path) -> None:
    status, lines = run_suite(tmp_path, PASSES)
    assert status == 1
    assert "INCOMPLETE: no test used PostgreSQL" in lines
    assert "INCOMPLETE: no test used Redis" in lines


def test_a_part_of_the_suite_may_need_no_server(tmp_path: Path) -> None:
    status, lines = run_suite(tmp_path, PASSES, "-k", "one")
    assert status == 0, lines


@pytest.mark.parametrize("test", [IMPORT_SKIPS, f"{PASSES}\n{SKIPS}"])
def test_a_run_that_skips_does_not_pass(tmp_path: Path, test: str) -> None:
    status, lines = run_suite(tmp_path, test, "suite")
    assert status != 0
    assert any(line.startswith("INCOMPLETE: skipped: suite/test_it") for line in lines)


def test_a_run_in_parallel_counts_what_its_workers_used(tmp_path: Path) -> None:
    status, lines = run_suite(tmp_path, USES_BOTH, "-n", "2")
    assert status == 0, lines
    assert "PostgreSQL 1" in lines[-2]


def test_a_run_in_parallel_without_the_servers_fails(tmp_path: Path) -> None:
    status, lines = run_suite(tmp_path, PASSES, "-n", "2")
    assert status == 1, lines
    assert "INCOMPLETE: no test used Redis" in lines
