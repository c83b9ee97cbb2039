"""Latency against throughput, a line for each protocol, as SVG."""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from app.cli.bench.results import Result

WIDTH, HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 170, 40, 50
_COLORS: Final = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf")
_TEXT: Final = 'font-family="sans-serif" font-size="12" fill="#333"'


def svg(results: Sequence[Result], title: str) -> str:
    """p50 as lines with dots, p99 dashed; latency is on a logarithmic scale."""
    answered = [result for result in results if result.requests]
    scale = _Scale(answered)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(_LEFT, 22, title, size=14),
        *scale.axes(),
    ]
    for at, name in enumerate(_lines(answered)):
        color = _COLORS[at % len(_COLORS)]
        points = sorted(_lines(answered)[name], key=lambda one: one.per_second)
        parts += _curve(points, scale, color)
        parts.append(_legend(at, name, color))
    return "\n".join([*parts, "</svg>", ""])


def _lines(results: Sequence[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        loop = "closed" if result.rate is None else "open"
        found.setdefault(f"{result.protocol}, {loop}", []).append(result)
    return found


class _Scale:
    """From requests per second and milliseconds to points."""

    def __init__(self, results: Sequence[Result]) -> None:
        self._most = _nice_above(max([one.per_second for one in results] or [1.0]))
        lowest = min([one.p50_ms for one in results if one.p50_ms > 0] or [1.0])
        highest = max([one.p99_ms for one in results] or [1.0])
        self._low = math.floor(math.log10(lowest))
        self._high = max(math.ceil(math.log10(max(highest, lowest))), self._low + 1)

    def x(self, per_second: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * per_second / self._most

    def y(self, ms: float) -> float:
        share = (math.log10(max(ms, 1e-9)) - self._low) / (self._high - self._low)
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share

    def axes(self) -> list[str]:
        right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
        parts = []
        for power in range(self._low, self._high + 1):
            y = self.y(10.0**power)
            parts.append(_line(_LEFT, y, right, y))
            parts.append(_text(_LEFT - 8, y + 4, f"{10.0**power:g}", anchor="end"))
        for step in range(5):
            value = self._most * step / 4
            x = self.x(value)
            parts.append(_line(x, _TOP, x, bottom))
            parts.append(_text(x, bottom + 18, f"{value:,.0f}", anchor="middle"))
        middle = (_LEFT + right) / 2
        parts.append(_text(middle, HEIGHT - 12, "requests per second", anchor="middle"))
        parts.append(_text(12, _TOP - 8, "latency, ms"))
        return parts


def _nice_above(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(max(value, 1.0)))
    return next(power * step for step in (1, 2, 4, 5, 8, 10) if power * step >= value)


def _curve(points: Sequence[Result], scale: _Scale, color: str) -> list[str]:
    parts = []
    for figure, dash in (("p50_ms", ""), ("p99_ms", ' stroke-dasharray="5 4"')):
        places = [
            (scale.x(one.per_second), scale.y(getattr(one, figure))) for one in points
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" '
            f'stroke-width="2"{dash}/>'
        )
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>'
            for x, y in places
        ]
    return parts


def _legend(at: int, name: str, color: str) -> str:
    x, y = WIDTH - _RIGHT + 14, _TOP + 14 + 20 * at
    return f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{color}"/>' + _text(
        x + 16, y, name
    )


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'
    )


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 12
) -> str:
    style = _TEXT.replace('"12"', f'"{size}"')
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {style}>'
        f"{escape(text)}</text>"
    )
