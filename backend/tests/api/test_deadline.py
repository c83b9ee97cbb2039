import pytest

from app.api.deadline import deadline_of
from app.errors import InvalidRequest


@pytest.mark.parametrize(
    ("header", "own_s"),
    [(b"2", 2.0), (b"0.5", 0.5), (b" 1.25 ", 1.25), (b"0.000000001", 1e-9)],
    ids=["whole", "decimal", "with blanks", "tiny"],
)
def test_the_header_is_seconds_from_now(header: bytes, own_s: float) -> None:
    deadline = deadline_of(header, limit_s=30.0, now=100.0)
    assert deadline == (100.0 + own_s, own_s)


def test_without_the_header_the_servers_limit_stands() -> None:
    assert deadline_of(None, limit_s=30.0, now=100.0) is None


@pytest.mark.parametrize("header", [b"30", b"30.5", b"999999999"])
def test_more_than_the_servers_limit_is_the_servers_limit(header: bytes) -> None:
    assert deadline_of(header, limit_s=30.0, now=100.0) is None


@pytest.mark.parametrize(
    "header",
    [b"", b"0", b"0.0", b"-1", b"1s", b"500ms", b"nan", b"inf", b"1e3", b"1_0", b".5"],
    ids=lambda header: header.decode() or "empty",
)
def test_anything_else_is_refused_with_what_is_wanted(header: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"seconds above 0, such as 2 or 0\.5"):
        deadline_of(header, limit_s=30.0, now=100.0)


def test_a_refusal_shows_what_was_sent_but_not_all_of_it() -> None:
    with pytest.raises(InvalidRequest, match=r"got 'x{40}'"):
        deadline_of(b"x" * 5000, limit_s=30.0, now=100.0)
