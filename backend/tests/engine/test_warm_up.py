"""The first run of a session happens before anyone waits for it."""

from pathlib import Path

import pytest

from app.engine.pool import SessionPool
from app.engine.warm_up import warm_up
from tests import graphs
from tests.engine.conftest import OpenModel, WriteModel


@pytest.mark.parametrize(
    ("model", "ran"),
    [
        (graphs.five_numbers(), False),
        (graphs.slow_loop(), False),
        (graphs.strings_upper(), True),
    ],
    ids=["fails", "endless", "strings"],
)
def test_a_first_run_may_fail_and_has_a_limit(
    open_model: OpenModel, model: bytes, *, ran: bool
) -> None:
    assert warm_up(open_model(model)) is ran


async def test_a_model_whose_first_run_fails_is_loaded(
    pool: SessionPool, write_model: WriteModel
) -> None:
    folder = write_model(graphs.five_numbers())

    async def open_it() -> Path:
        return folder

    await pool.load("d", open_it, warm_up=True)
    assert pool.is_loaded("d")
