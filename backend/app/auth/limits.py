"""How much a key may do: what was set for it, over what the server sets for all."""

from dataclasses import asdict, dataclass, fields
from typing import Final

from app.errors import InvalidField

MOST_RATE: Final = 1_000_000.0
MOST_COUNT: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """None leaves it to the server's default, 0 is no limit. `burst`: requests at once
    after a pause. `models`: versions."""

    requests_per_s: float | None = None
    burst: int | None = None
    concurrent_jobs: int | None = None
    models: int | None = None
    stored_mb: int | None = None

    def over(self, default: "KeyLimits") -> "KeyLimits":
        """These, and those of `default` where there is none."""
        mine = {
            name: value for name, value in asdict(self).items() if value is not None
        }
        return KeyLimits(**{**asdict(default), **mine})

    def check(self) -> None:
        """Raises InvalidField where one can't be."""
        for one in fields(self):
            value = getattr(self, one.name)
            most = MOST_RATE if one.name == "requests_per_s" else MOST_COUNT
            if value is not None and not 0 <= value <= most:
                raise InvalidField(
                    f"{one.name}: give a number from 0, for no limit, to {most:g}; "
                    f"found {value}."
                )


LIMIT_NAMES: Final = tuple(one.name for one in fields(KeyLimits))
NO_LIMITS: Final = KeyLimits()
