""".env.example tells of every setting, with its default, and of nothing else."""

import re
import subprocess
import sys
from pathlib import Path

from app.config import Settings
from scripts.env_example import EXAMPLES, shown

ROOT = Path(__file__).parents[2]
ENTRY = re.compile(r"^((?:# .+\n)+)([A-Z_]+)=(.*)$", re.MULTILINE)
COMPOSE_ALONE = {"POSTGRES_PASSWORD"}


def entries() -> dict[str, tuple[str, str]]:
    """Name -> comment and value."""
    text = (ROOT / ".env.example").read_text()
    return {name: (comment, value) for comment, name, value in ENTRY.findall(text)}


def test_every_setting_is_there_and_nothing_else() -> None:
    names = {name.upper() for name in Settings.model_fields}
    assert set(entries()) == names | COMPOSE_ALONE


def test_every_value_is_the_default_but_for_the_servers() -> None:
    found = entries()
    for name, field in Settings.model_fields.items():
        expected = EXAMPLES.get(name, shown(field.default))
        assert found[name.upper()][1] == expected, name


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        comment = " ".join(entries()[name.upper()][0].replace("# ", " ").split())
        assert field.description, name
        assert comment == " ".join(field.description.split()), name


def test_the_file_as_it_is_makes_usable_settings() -> None:
    settings = Settings(_env_file=ROOT / ".env.example")
    assert settings.database_url.startswith("postgresql+asyncpg://")
    assert settings.secret_key.get_secret_value() == "change-me-in-production"
    unlike = {
        name
        for name, field in Settings.model_fields.items()
        if getattr(settings, name) != field.default
    }
    assert unlike == set(EXAMPLES)


def test_the_file_is_as_fresh_as_the_script_makes_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.env_example", "--check"],
        cwd=ROOT / "backend",
        check=False,
    )
    assert done.returncode == 0
