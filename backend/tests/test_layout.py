"""The package list, the locks and the versions agree with the folders."""

import ast
import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from app import __version__

ROOT = Path(__file__).parents[2]
BACKEND = ROOT / "backend"
PROJECT: dict[str, Any] = tomllib.loads((BACKEND / "pyproject.toml").read_text())
LOCKS = ("requirements.lock", "requirements-dev.lock")
PIN = re.compile(
    r"^([a-z0-9._-]+)(?:\[[a-z0-9,._-]+\])?==([^ ]+)(?: ; .+?)? \\$", re.MULTILINE
)

# Declared though `app` never imports them, each with who does.
USED_BY_OTHERS = {
    "httptools": "uvicorn, to parse HTTP",
}


def pins(lock: str) -> set[tuple[str, str]]:
    return set(PIN.findall((BACKEND / lock).read_text()))


def test_the_wheel_carries_every_package_folder() -> None:
    folders = {
        ".".join(file.parent.relative_to(BACKEND).parts)
        for file in (BACKEND / "app").rglob("*.py")
    }
    migrations = {"app.alembic", "app.alembic.versions"}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders | migrations


def test_the_wheel_carries_every_file_that_is_not_python() -> None:
    carried = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    for folder in (BACKEND / "app", BACKEND / "alembic"):
        for file in folder.rglob("*"):
            if file.is_dir() or file.suffix in (".py", ".pyc"):
                continue
            assert any(file.match(pattern) for pattern in carried), file


def imported_distributions() -> set[str]:
    """The distributions whose modules `app` imports."""
    origins = packages_distributions()
    found: set[str] = set()
    for file in (BACKEND / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                found |= set(origins.get(name.split(".")[0], []))
    return {name.lower().replace("_", "-") for name in found} - {"mlforge"}


def test_what_is_imported_is_declared_and_what_is_declared_is_used() -> None:
    declared = {
        re.split(r"[\[<>=]", requirement)[0]
        for requirement in PROJECT["project"]["dependencies"]
    }
    assert imported_distributions() - declared == set()
    assert declared - imported_distributions() == set(USED_BY_OTHERS)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_hashes_and_no_address(lock: str) -> None:
    text = (BACKEND / lock).read_text()
    assert pins(lock)
    assert "://" not in text
    assert "file:" not in text
    requirements = re.split(r"\n(?=\S)", text.strip())
    assert all("--hash=sha256:" in requirement for requirement in requirements)
    assert len(requirements) == len(PIN.findall(text))


def test_a_lock_pins_what_its_packages_ask_for_with_extras() -> None:
    """pip takes `name[extra]` for another requirement than `name`."""
    text = (BACKEND / "requirements-dev.lock").read_text()
    for wanted in ("coverage[toml]==", "redis[hiredis]==", "sqlalchemy[asyncio]=="):
        assert f"\n{wanted}" in text


def test_the_tools_do_not_change_what_the_product_runs_with() -> None:
    assert pins("requirements.lock") <= pins("requirements-dev.lock")


def test_the_locks_hold_the_build_backend() -> None:
    (backend,) = PROJECT["build-system"]["requires"]
    name = re.split("[<>=]", backend)[0]
    for lock in LOCKS:
        assert name in {pin for pin, _version in pins(lock)}


def test_the_version_is_said_once_the_same_way() -> None:
    assert PROJECT["project"]["version"] == __version__
    changelog = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## \[(\d[^\]]*)\]", changelog, re.MULTILINE)
    assert released[0] == __version__


def test_every_decision_record_has_its_four_parts() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert records
    for number, record in enumerate(records, 1):
        assert record.name.startswith(f"{number:04}-"), record.name
        headings = re.findall(r"^## (.+)$", record.read_text(), re.MULTILINE)
        expected = ["Context", "Decision", "Consequences", "Alternatives"]
        assert headings == expected, record.name
