"""What a load measured."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figures:
    """One load. Latencies in milliseconds; `errors` are answers but 200 and cuts.

    `server` and `elsewhere` are cores in use: by what is measured, and by others.
    """

    per_second: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    requests: int
    errors: int
    server: float = 0.0
    elsewhere: float = 0.0

    def value(self, figure: str) -> float:
        return float(getattr(self, figure))

    def as_json(self) -> dict[str, float]:
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


class LoadFailed(RuntimeError):
    """A load that measured nothing that may be used."""


def of_latencies(latencies_s: Sequence[float], took_s: float, errors: int) -> Figures:
    """Figures of single requests, counted by the one who sent them."""
    if not latencies_s:
        raise LoadFailed(f"no request was answered within {took_s:.1f} s")
    ordered = sorted(latencies_s)

    def at_ms(fraction: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] * 1000

    return Figures(
        len(ordered) / took_s,
        at_ms(0.5),
        at_ms(0.9),
        at_ms(0.99),
        ordered[-1] * 1000,
        len(ordered),
        errors,
    )
