"""The command `mlforge bench`."""

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from app.cli.bench import options
from app.cli.bench.load import Limits
from app.cli.bench.plot import svg
from app.cli.bench.prepare import Wanted, prepare, protocols_of
from app.cli.bench.requests import Requests
from app.cli.bench.results import Result, document, table
from app.cli.bench.run import Door, Plan, measure
from app.cli.bench.target import CannotMeasure, describe, parse_url
from app.cli.bench.tensors import CannotMake, Sizes

MAX_CALLERS = 10_000


def bench(
    model: options.ModelName,
    url: options.Url = "http://127.0.0.1:8000",
    grpc: options.Grpc = "",
    protocols: options.Protocols = "v1-json,v2-json,v2-binary",
    concurrency: options.Concurrency = "1,8,32",
    seconds: options.Seconds = 5.0,
    rate: options.Rate = 0.0,
    rates: options.Rates = "",
    batch: options.Batch = 1,
    length: options.Length = 1,
    text: options.Text = None,
    cached: options.Cached = False,
    processes: options.Processes = 1,
    timeout: options.Timeout = 30.0,
    header: options.Header = None,
    out: options.Out = None,
    plot: options.Plot = None,
) -> None:
    """Measure how fast a running server answers for one of its models.

    Inputs are made from the model's metadata and never repeat. The generator is Python
    and tops out at some ten thousands of requests a second; it shares the machine with
    a server that is here. Look for the ceiling of a fast server with --processes or wrk.
    """
    try:
        plan = Plan(
            options.numbers(concurrency, int, "--concurrency", most=MAX_CALLERS),
            Limits(seconds, timeout),
            processes,
            rate,
            options.numbers(rates, float, "--rates", most=10),
        )
        wanted = Wanted(
            parse_url(url),
            grpc,
            options.headers(header),
            Sizes(batch, length),
            text,
            cached,
        )
        run = _Run(model, protocols, plan, wanted)
        results = run.all()
    except (CannotMeasure, CannotMake) as error:
        typer.secho(str(error), err=True, fg=typer.colors.RED)
        raise typer.Exit(1) from None
    typer.echo(table(results))
    run.write(results, out, plot)


class _Run:
    """One invocation: from what was asked to what was measured."""

    def __init__(self, model: str, protocols: str, plan: Plan, wanted: Wanted) -> None:
        self._protocols = protocols_of(protocols)
        self._plan, self._wanted = plan, wanted
        if not plan.concurrency:
            raise CannotMeasure("--concurrency names no number of callers.")
        _warn_of_others(wanted)
        self._model = describe(wanted.address, model, wanted.headers)

    def all(self) -> list[Result]:
        results: list[Result] = []
        for protocol in self._protocols:
            door, requests = prepare(protocol, self._model, self._wanted)
            results += self._measured(door, requests)
        return results

    def _measured(self, door: Door, requests: Requests) -> Iterator[Result]:
        sent = 0
        try:
            for result in measure(door, requests, self._plan):
                typer.echo(_said(result), err=True)
                sent += result.requests
                yield result
        except OSError as error:
            raise CannotMeasure(
                f"The server at {door.address.authority} went away: {error}"
            ) from None
        if sent > requests.distinct and not self._wanted.cached:
            typer.secho(
                f"WARNING: {door.protocol}: the model's inputs can be told apart only "
                f"{requests.distinct:,} times; later ones repeat, and may be cached.",
                err=True,
                fg=typer.colors.YELLOW,
            )

    def write(self, results: list[Result], out: Path | None, plot: Path | None) -> None:
        model = self._model
        name = model.name if model.version is None else f"{model.name}:{model.version}"
        if out is not None:
            command = shlex.join(["mlforge", *sys.argv[1:]])
            told = document(results, command=command, server=model.server, model=name)
            _write(out, json.dumps(told, indent=1) + "\n")
        if plot is not None:
            _write(plot, svg(results, f"{name} on {model.server}"))


def _said(result: Result) -> str:
    loop = "" if result.rate is None else f" that arrive at {result.rate:,.0f}/s"
    return (
        f"{result.protocol}, {result.concurrency} callers{loop}: "
        f"{result.per_second:,.0f} requests/s"
    )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        typer.secho(f"{path} can't be written: {error.strerror}.", err=True)
        raise typer.Exit(1) from None


def _warn_of_others(wanted: Wanted) -> None:
    if not wanted.address.is_loopback:
        typer.secho(
            f"WARNING: {wanted.address.authority} is not this machine: the network is "
            "measured too, and others may need that server.",
            err=True,
            fg=typer.colors.YELLOW,
        )
