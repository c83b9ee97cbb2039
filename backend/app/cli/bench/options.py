"""The options of `mlforge bench`, and what their words say."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeAlias, TypeVar

import typer

from app.cli.bench.target import CannotMeasure

T = TypeVar("T", int, float, str)

ModelName: TypeAlias = Annotated[str, typer.Argument(help="The model's name.")]
Url: TypeAlias = Annotated[str, typer.Option(help="The server's address.")]
Grpc: TypeAlias = Annotated[
    str, typer.Option(help="host:port of its gRPC; empty: port 8001 of the same host.")
]
Protocols: TypeAlias = Annotated[
    str, typer.Option(help="Of v1-json, v2-json, v2-binary and grpc.")
]
Concurrency: TypeAlias = Annotated[
    str, typer.Option(help="Callers at once; a load for each number.")
]
Seconds: TypeAlias = Annotated[
    float, typer.Option(min=0.1, max=3600, help="How long each load takes.")
]
Rate: TypeAlias = Annotated[
    float,
    typer.Option(
        min=0,
        max=1_000_000,
        help="Also an open loop: callers arrive at random, so many a second, and count "
        "their time from then.",
    ),
]
Rates: TypeAlias = Annotated[
    str, typer.Option(help="Open loops at these shares of the best rate seen: 0.5,0.7")
]
Batch: TypeAlias = Annotated[
    int, typer.Option(min=1, help="Size of the first free dimension of an input.")
]
Length: TypeAlias = Annotated[
    int, typer.Option(min=1, help="Size of the other free dimensions.")
]
Text: TypeAlias = Annotated[
    str | None, typer.Option(help="A sample of what text inputs take.")
]
Cached: TypeAlias = Annotated[
    bool, typer.Option("--cached", help="Send the same input each time.")
]
Processes: TypeAlias = Annotated[
    int, typer.Option(min=1, max=64, help="Processes that make the load.")
]
Timeout: TypeAlias = Annotated[
    float,
    typer.Option(min=0.1, max=3600, help="Seconds to wait for answers at the end."),
]
Header: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(help="'Name: value' to send along; may be given again."),
]
Out: TypeAlias = Annotated[
    Path | None, typer.Option(help="File for the results, as JSON.")
]
Plot: TypeAlias = Annotated[
    Path | None, typer.Option(help="File for latency over throughput, as SVG.")
]


def numbers(
    text: str, kind: Callable[[str], T], option: str, *, most: float
) -> tuple[T, ...]:
    """The numbers of a list with commas, above 0 and not above `most`."""
    found = []
    for word in filter(None, map(str.strip, text.split(","))):
        try:
            value = kind(word)
        except ValueError:
            raise CannotMeasure(f"{option}: {word!r} is no number.") from None
        if not 0 < float(value) <= most:
            raise CannotMeasure(
                f"{option}: {word} is not above 0 and at most {most:g}."
            )
        found.append(value)
    return tuple(found)


def headers(lines: list[str] | None) -> tuple[tuple[str, str], ...]:
    pairs = []
    for line in lines or ():
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not (name and colon) or any(ord(letter) < 32 for letter in line):
            raise CannotMeasure(f"--header: {line!r} is not of the form 'Name: value'.")
        pairs.append((name, value))
    return tuple(pairs)
