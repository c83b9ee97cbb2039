"""What the tests of jobs share."""

from pathlib import Path

import pytest

from app.database import Database
from app.services.jobs import Jobs
from tests.jobs.files import Desk, make_desk
from tests.jobs.work import Bell, make_jobs


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def jobs(database: Database, bell: Bell) -> Jobs:
    return make_jobs(database, bell)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def desk(database: Database, data_dir: Path) -> Desk:
    return make_desk(database, data_dir)
