"""Who calls, and what they may do."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from app.auth.buckets import Bucket, bucket_of
from app.auth.limits import NO_LIMITS, KeyLimits
from app.enums import Scope

# Names of models have no other characters; `*` and `?` stand for those.
PATTERN_RULE: Final = (
    "1 to 128 letters, digits, dots, underscores or dashes, ? for any one of them and "
    "at most four * for any number of them"
)
# Each one may multiply the time that a match takes.
_MOST_STARS: Final = 4
_PATTERN: Final = re.compile(r"[A-Za-z0-9._*?-]{1,128}")
_WILD: Final = {"*": ".*", "?": "."}

_IMPLIED: Final = {
    Scope.PREDICT: frozenset({Scope.PREDICT}),
    Scope.READ: frozenset({Scope.READ}),
    # Who may change a model is shown it in the answer anyway.
    Scope.WRITE: frozenset({Scope.WRITE, Scope.READ}),
    Scope.ADMIN: frozenset(Scope),
}


def with_implied(scopes: Iterable[Scope]) -> frozenset[Scope]:
    return frozenset().union(*(_IMPLIED[scope] for scope in scopes))


def is_pattern(text: str) -> bool:
    return _PATTERN.fullmatch(text) is not None and text.count("*") <= _MOST_STARS


def as_regex(pattern: str) -> str:
    """Understood by Python and by every database alike."""
    return f"^{''.join(_WILD.get(one, re.escape(one)) for one in pattern)}$"


@dataclass(frozen=True, slots=True)
class Principal:
    """`scopes` hold what they imply; `pattern` None means every model. `owner`: whose the
    things are that it makes, the same for a key and those it is rotated to. `bucket`:
    what its requests are taken from, None where there is no limit."""

    name: str
    scopes: frozenset[Scope]
    key_id: str | None = None
    pattern: str | None = None
    owner: str | None = None
    limits: KeyLimits = NO_LIMITS
    bucket: Bucket | None = field(default=None, repr=False, compare=False)
    may_predict: bool = field(init=False)
    _sees: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "may_predict", Scope.PREDICT in self.scopes)
        regex = None if self.pattern is None else re.compile(as_regex(self.pattern))
        object.__setattr__(self, "_sees", regex)

    def sees(self, model: str) -> bool:
        """Whether a model of that name exists for this caller."""
        return self._sees is None or self._sees.fullmatch(model) is not None

    @property
    def regex(self) -> str | None:
        """What the names it sees match."""
        return None if self.pattern is None else as_regex(self.pattern)


# Who calls where authentication is off.
EVERYBODY: Final = Principal("everybody", frozenset(Scope))


ANONYMOUS: Final = "anonymous"


def anonymous(scopes: Iterable[Scope], limits: KeyLimits = NO_LIMITS) -> Principal:
    """Who calls without a key: all of them are one caller to the limits."""
    return Principal(
        ANONYMOUS,
        with_implied(scopes),
        owner=ANONYMOUS,
        limits=limits,
        bucket=bucket_of(limits.requests_per_s, limits.burst),
    )
