"""What is too slow, and what comes in too small pieces."""

import pytest

from app.cli.body_pace import (
    FREE_CHUNKS,
    LEAST_BYTES_S,
    LEAST_CHUNK_BYTES,
    BodyPace,
)


@pytest.mark.parametrize(
    ("waited_s", "came", "slow"),
    [
        (30.0, 0, False),
        (31.0, 0, True),
        (31.0, LEAST_BYTES_S - 1, True),
        (31.0, LEAST_BYTES_S, False),
        (1030.0, 1000 * LEAST_BYTES_S - 1, True),
        (1030.0, 1000 * LEAST_BYTES_S, False),
    ],
)
def test_a_body_is_slow_beyond_its_grace(
    waited_s: float, came: int, slow: bool
) -> None:
    pace = BodyPace(30.0)
    pace.waited(waited_s)
    pace.came(came)
    assert pace.is_too_slow is slow


@pytest.mark.parametrize(
    ("chunks", "came", "crumbled"),
    [
        (FREE_CHUNKS, FREE_CHUNKS, False),
        (2 * FREE_CHUNKS, 2 * FREE_CHUNKS, True),
        (2 * FREE_CHUNKS, FREE_CHUNKS * LEAST_CHUNK_BYTES, False),
    ],
)
def test_chunks_beyond_the_free_ones_carry_something(
    chunks: int, came: int, crumbled: bool
) -> None:
    pace = BodyPace(30.0)
    for _ in range(chunks):
        pace.chunk_came()
    pace.came(came)
    assert pace.is_crumbled is crumbled
