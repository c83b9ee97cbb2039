"""The ordering of versions."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from app.kit.versions import next_version, read_version, version_order

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def _ordered(texts: list[str]) -> list[str]:
    return sorted(texts, key=lambda text: version_order(text, NOW))


@pytest.mark.parametrize(
    "rising",
    [
        ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta", "1.0.0-rc.2", "1.0.0-rc.10"],
        ["1.0.0-rc.10", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"],
        ["v1", "1.1", "v1.2", "1.10.0", "V2.0.0"],
        ["latest", "0.0.1"],
    ],
)
def test_semantic_versions_order_by_precedence(rising: list[str]) -> None:
    for shuffled in permutations(rising):
        assert _ordered(list(shuffled)) == rising


def test_other_versions_order_by_creation_below_all_semantic_ones() -> None:
    created = {"first": 0, "second": 1, "0.1.0": -5, "a-third": 2}
    order = sorted(
        created,
        key=lambda text: version_order(text, NOW + timedelta(days=created[text])),
    )
    assert order == ["first", "second", "a-third", "0.1.0"]


def test_equal_versions_order_by_creation() -> None:
    assert version_order("1.2", NOW) < version_order("1.2.0", NOW + timedelta(1))


@pytest.mark.parametrize(
    "text", ["", "v", "latest", "01.2.3", "1.2.3.4", "1..2", "vv1"]
)
def test_what_is_no_semantic_version_is_not_read_as_one(text: str) -> None:
    assert read_version(text) is None


@pytest.mark.parametrize(
    ("taken", "version"),
    [
        ([], "1.0.0"),
        (["latest"], "1.0.0"),
        (["1.0.0"], "1.1.0"),
        (["1.9.3", "1.10.1", "0.1.0"], "1.11.0"),
        (["v2"], "2.1.0"),
        (["1.0.0-beta"], "1.1.0"),
    ],
)
def test_the_next_version_is_one_minor_above_the_highest(
    taken: list[str], version: str
) -> None:
    assert next_version(taken) == version
