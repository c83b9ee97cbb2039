"""How many connections the limit of open files leaves."""

import resource

import pytest

from app.cli.room import MOST, RESERVED_FILES, most_connections


@pytest.mark.parametrize(
    ("files", "connections"),
    [
        (100, 50),
        (2 * RESERVED_FILES, RESERVED_FILES),
        (1024, 1024 - RESERVED_FILES),
        (1 << 20, MOST),
        (resource.RLIM_INFINITY, MOST),
    ],
)
def test_files_are_left_for_everything_else(
    files: int, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert most_connections() == connections
