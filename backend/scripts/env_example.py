"""Writes .env.example from Settings, or checks that it is fresh."""

import argparse
import sys
import textwrap
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from app.config import Settings

FILE = Path(__file__).resolve().parents[2] / ".env.example"

HEADER = """\
# Settings of MLForge. Copy this file to .env and keep the lines you change: every
# other value here is the default, but for DATABASE_URL and REDIS_URL. Leave those
# two empty to run everything in one process, with no other server.
"""

# Empty by default; shown as they look where the servers exist.
EXAMPLES = {
    "database_url": "postgresql+asyncpg://mlforge:mlforge@localhost:5432/mlforge",
    "redis_url": "redis://localhost:6379/0",
}

COMPOSE = """\

# Read by docker-compose.yml alone: the password of its PostgreSQL (letters and digits).
POSTGRES_PASSWORD=mlforge
"""


def render() -> str:
    fields = Settings.model_fields.items()
    return HEADER + "".join(_entry(name, field) for name, field in fields) + COMPOSE


def _entry(name: str, field: FieldInfo) -> str:
    comment = textwrap.fill(
        field.description or "",
        width=88,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    value = EXAMPLES.get(name, shown(field.default))
    return f"\n{comment}\n{name.upper()}={value}\n"


def shown(value: object) -> str:
    """A default, as an environment variable spells it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    if not parser.parse_args().check:
        FILE.write_text(render())
        return 0
    if FILE.exists() and FILE.read_text() == render():
        return 0
    sys.stderr.write(".env.example is stale: make format\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
