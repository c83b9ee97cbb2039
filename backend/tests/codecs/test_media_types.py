import pytest

from app.codecs.media_types import ENCODERS, JSON, answer_type_of, body_type_of
from app.errors import NotAcceptable, UnsupportedMediaType
from tests.codecs.tabular import ARROW, CSV, NDJSON, NPZ, PARQUET


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", CSV),
        ("text/csv", CSV),
        ("Text/CSV ; header=present", CSV),
        ("text/csv, application/json", CSV),
        ("application/json, text/csv", JSON),
        ("text/csv, */*", CSV),
        ("*/*, text/csv", CSV),
        ("text/html, application/xml;q=0.9, */*;q=0.8", JSON),
        (f"text/csv;q=0.5, {PARQUET};q=0.7, text/html", PARQUET),
        ("application/json;q=0, application/*", NDJSON),
        ("application/json; q=0.2, text/csv ;Q=0.4", CSV),
        ("text/*;q=0.9, text/csv;q=0.1, application/json;q=0.5", JSON),
        (f"{ARROW};q=1.000,", ARROW),
        (f"{NPZ};q=many", NPZ),
    ],
)
def test_the_type_that_the_caller_likes_best_is_given(accept: str, wanted: str) -> None:
    assert answer_type_of(accept) == wanted


@pytest.mark.parametrize(
    "accept", ["text/html", "*/*;q=0", "application/json;q=0", "image/*, text/plain"]
)
def test_an_accept_that_names_nothing_of_ours_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        answer_type_of(accept)
    assert all(name in caught.value.detail for name in ENCODERS)


@pytest.mark.parametrize(
    ("content_type", "wanted"),
    [
        ("", JSON),
        ("application/json; charset=utf-8", JSON),
        ("text/csv;header=present", CSV),
        ('TEXT/CSV; charset="UTF-8"', CSV),
        (NDJSON, NDJSON),
        ("application/json; charset=latin-1", JSON),
    ],
)
def test_bodies_are_known_by_their_type(content_type: str, wanted: str) -> None:
    assert body_type_of(content_type) == wanted


def test_bodies_of_other_types_are_refused_with_ours() -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        body_type_of("application/x-www-form-urlencoded")
    assert all(name in caught.value.detail for name in ENCODERS)
    with pytest.raises(UnsupportedMediaType, match="send UTF-8"):
        body_type_of("text/csv; charset=latin-1")
