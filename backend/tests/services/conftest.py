"""Registries on both databases."""

import pytest

from app.artifacts.local import LocalStore
from app.database import Database
from tests.services.registry_parts import HeldInspector, Parts, new_inspector


@pytest.fixture
def parts(database: Database, store: LocalStore) -> Parts:
    return Parts(database, store, new_inspector())


@pytest.fixture
def held(database: Database, store: LocalStore) -> Parts:
    """Its inspector waits until told to go."""
    return Parts(database, store, HeldInspector())
