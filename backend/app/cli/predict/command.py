"""The command `mlforge predict`."""

import asyncio
from collections.abc import Coroutine
from urllib.parse import urlsplit

import typer

from app.cli.predict import options
from app.cli.predict.client import Server
from app.cli.predict.display import Display
from app.cli.predict.local import predict_with_file, predict_with_registry
from app.cli.predict.outcome import Exit, Stopped
from app.cli.predict.remote import predict_remotely
from app.cli.predict.wanted import STANDARD, Wanted, checked
from app.cli.preparing import guarded, prepare, usable_settings
from app.enums import OnError, Priority
from app.observability.logging import configure_logging


def predict(
    model: options.Model,
    file: options.File,
    out: options.Out = STANDARD,
    server: options.Server = "http://127.0.0.1:8000",
    api_key: options.ApiKey = "",
    outputs: options.Outputs = "",
    include_inputs: options.IncludeInputs = "all",
    format: options.Format = None,  # noqa: A002 - the option's name
    output_format: options.OutputFormat = None,
    on_error: options.OnErrorOption = OnError.RECORD,
    max_failed_rows: options.MaxFailedRows = None,
    chunk_rows: options.ChunkRows = None,
    priority: options.PriorityOption = Priority.NORMAL,
    dry_run: options.DryRun = False,
    idempotency_key: options.IdempotencyKey = "",
    local: options.Local = False,
) -> None:
    """Score every row of a file, on a server or here.

    The result is the file with the predictions beside its columns, and an
    `error` where a row has none.

    Ends with 0 when all rows were tried, 1 when the job failed, 2 for a wrong
    option, 3 when the model or file is not there, 6 when the file does not fit
    the model, 7 when no server answers, 130 after Ctrl-C, which cancels the job.
    """
    wanted = Wanted(
        model=model,
        file=file,
        out=out,
        outputs=outputs,
        include_inputs=include_inputs,
        format=format,
        output_format=output_format,
        on_error=on_error,
        max_failed_rows=max_failed_rows,
        chunk_rows=chunk_rows,
        priority=priority,
        dry_run=dry_run,
        idempotency_key=idempotency_key,
        is_local=local,
    )
    with Display() as display:
        try:
            _predict(checked(wanted), Server(server, api_key), display)
        except Stopped as stop:
            display.clear()
            typer.secho(stop.message, err=True, fg=typer.colors.RED)
            raise typer.Exit(stop.status) from None


def _predict(wanted: Wanted, server: Server, display: Display) -> None:
    if wanted.is_file_model:
        configure_logging("ERROR", "auto")
        _run(predict_with_file(wanted, display))
        return
    if wanted.is_local:
        settings = usable_settings()
        configure_logging("ERROR", settings.log_format)
        guarded(prepare(settings))
        _run(predict_with_registry(wanted, settings, display))
        return
    address = urlsplit(server.url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise Stopped(
            Exit.USAGE,
            f"{server.url} is no address of a server: give http://host:port.",
        )
    predict_remotely(wanted, server, display)


def _run(work: Coroutine[None, None, None]) -> None:
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        raise Stopped(Exit.INTERRUPTED, "Stopped; there is no result.") from None
