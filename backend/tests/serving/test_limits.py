import asyncio

import pytest

from app.errors import InferenceTimeout
from app.serving.limits import Deadline, TimeLimits, Whose, earliest
from app.serving.settings import ServingSettings

SOON, LATE = Deadline.after(1.0, now=10.0), Deadline.after(9.0, now=10.0)


async def for_ever() -> None:
    await asyncio.Event().wait()


async def given(answer: int) -> int:
    return answer


def test_a_deadline_is_an_instant_that_knows_its_limit() -> None:
    assert Deadline.after(2.5, now=100.0) == (102.5, 2.5)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(SOON, LATE, SOON), (LATE, SOON, SOON), (None, LATE, LATE), (SOON, None, SOON)],
    ids=["first", "second", "only the second", "only the first"],
)
def test_the_earliest_deadline_counts(
    first: Deadline | None, second: Deadline | None, expected: Deadline
) -> None:
    assert earliest(first, second) is expected
    assert earliest(None, None) is None


@pytest.mark.parametrize(
    ("timeout_s", "whose", "limit_s"),
    [(None, "server", 30.0), (5.0, "model", 5.0), (3600.0, "server", 30.0)],
    ids=["no limit of the model", "earlier", "later"],
)
def test_a_run_has_the_models_limit_where_it_is_earlier(
    timeout_s: float | None, whose: Whose, limit_s: float
) -> None:
    limits = TimeLimits(server_s=30.0)
    server = Deadline.after(30.0)
    limit = limits.of_run(ServingSettings(timeout_s=timeout_s), server.at)
    assert (limit.whose, limit.limit_s) == (whose, limit_s)
    assert limit.at <= server.at
    assert f"the {whose}'s limit of {limit_s:g} s" in str(limit.ran_past())
    assert f"the {whose}'s limit of {limit_s:g} s" in str(limit.loaded_past())


async def test_work_that_ends_in_time_gives_its_result() -> None:
    limits = TimeLimits(server_s=30.0)
    assert await limits.within(None, given(7)) == 7
    assert await limits.within(Deadline.after(60.0), given(8)) == 8


async def test_a_request_past_its_own_limit_is_told_which_it_was() -> None:
    told: list[Whose] = []
    limits = TimeLimits(30.0, told.append)
    with pytest.raises(InferenceTimeout, match=r"0\.01 s that the request gave it"):
        await limits.within(Deadline.after(0.01), for_ever())
    assert told == ["request"]


async def test_a_timeout_of_the_work_itself_is_not_taken_for_the_limit() -> None:
    async def work() -> None:
        raise TimeoutError("a socket's")

    with pytest.raises(TimeoutError, match="a socket's"):
        await TimeLimits(30.0).within(Deadline.after(60.0), work())
