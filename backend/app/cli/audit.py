"""`mlforge audit`: the audit log by way of the database, without a server."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, BinaryIO, TypeVar

import typer

from app.cli.preparing import fail, guarded, usable_settings, with_database
from app.database import Database
from app.services.audit import AuditLog, line_of
from app.services.audit_check import Verdict, verify

app = typer.Typer(
    name="audit",
    help="Check and export the audit log. No server has to run.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

T = TypeVar("T")


@app.command("verify")
def verify_command(
    head: Annotated[
        str | None,
        typer.Option(
            help="A head hash that an earlier verify printed: the log has to hold it "
            "still, so that a cut end is found."
        ),
    ] = None,
) -> None:
    """Tell by the exit status whether the log is whole and unchanged: 0 or 1."""
    known = None if head is None else _hash(head)
    verdict: Verdict = _run(lambda log: verify(log, known))
    if verdict.fault is not None:
        fail(f"The audit log is broken: {verdict.fault}.")
    typer.echo(f"The audit log is whole: {verdict.entries} entries.")
    typer.echo(f"head {verdict.head}")


@app.command()
def export(
    output: Annotated[
        Path | None, typer.Option(help="The file to write; else standard output.")
    ] = None,
) -> None:
    """Write the log as JSON lines, oldest first."""
    if output is None:
        _run(lambda log: _write(log, sys.stdout.buffer))
        return
    try:
        with output.open("wb") as file:
            _run(lambda log: _write(log, file))
    except OSError as error:
        fail(f"{output} can't be written ({error.strerror}).")


async def _write(log: AuditLog, file: BinaryIO) -> None:
    async for entries in log.portions():
        file.writelines(map(line_of, entries))


def _run(work: Callable[[AuditLog], Awaitable[T]]) -> T:
    async def on(database: Database) -> T:
        return await work(AuditLog(database))

    return guarded(with_database(usable_settings(), on))


def _hash(text: str) -> str:
    found = text.strip().lower().removeprefix("head ")
    if len(found) != 64 or not all(letter in "0123456789abcdef" for letter in found):
        fail(
            "--head takes the 64 hexadecimal digits that `mlforge audit verify` prints."
        )
    return found
