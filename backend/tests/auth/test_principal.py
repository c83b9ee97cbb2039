"""What scopes imply, and which models a pattern lets a caller see."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.auth.principal import Principal, is_pattern, with_implied
from app.enums import Scope

NAMES = st.text("ab-._", min_size=1, max_size=12)
PATTERNS = st.text("ab-._*?", min_size=1, max_size=10).filter(is_pattern)


@pytest.mark.parametrize(
    ("given_scopes", "all_scopes"),
    [
        ({Scope.PREDICT}, {Scope.PREDICT}),
        ({Scope.READ}, {Scope.READ}),
        ({Scope.WRITE}, {Scope.WRITE, Scope.READ}),
        ({Scope.ADMIN}, set(Scope)),
        (set(), set()),
    ],
)
def test_admin_implies_all_and_write_implies_read(
    given_scopes: set[Scope], all_scopes: set[Scope]
) -> None:
    assert with_implied(given_scopes) == all_scopes


@given(PATTERNS, NAMES)
def test_a_pattern_means_what_it_means_for_files(pattern: str, name: str) -> None:
    caller = Principal("x", frozenset(), "id", pattern)
    assert caller.sees(name) == fnmatchcase(name, pattern)


def test_without_a_pattern_every_model_is_seen() -> None:
    assert Principal("x", frozenset()).sees("anything")


@pytest.mark.parametrize("text", ["", "a b", "[ab]", "a/b", "*" * 5, "a" * 129, "a\n"])
def test_other_patterns_are_refused(text: str) -> None:
    assert not is_pattern(text)
