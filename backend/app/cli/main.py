"""`mlforge`: the command line."""

import asyncio
from typing import Annotated

import typer

from app import __version__
from app.cli import audit, keys
from app.cli.bench.command import bench
from app.cli.predict.command import predict
from app.cli.preparing import (
    fail,
    guarded,
    migrate_database,
    prepare,
    usable_settings,
)
from app.cli.serve import serve as run_server
from app.migrations import head_revision
from app.services.job_pulse import Pulse
from app.services.webhook_hosts import webhook_key
from app.worker import work

app = typer.Typer(
    name="mlforge",
    help="Self-hosted ONNX model serving. Every setting is an environment variable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Overrides HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Overrides PORT.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Overrides WORKERS.")
    ] = None,
    example: Annotated[
        bool, typer.Option(help="Upload the example model when there is none yet.")
    ] = False,
) -> None:
    """Serve the API. An embedded database is migrated first."""
    settings = usable_settings()
    changed = {"host": host, "port": port, "workers": workers}
    settings = settings.model_copy(
        update={name: value for name, value in changed.items() if value is not None}
    )
    guarded(prepare(settings))
    run_server(settings, example=example)


@app.command()
def worker() -> None:
    """Run jobs, beside a server that uses the same DATABASE_URL and REDIS_URL."""
    settings = usable_settings()
    guarded(prepare(settings))
    asyncio.run(work(settings))


@app.command("check-worker")
def check_worker() -> None:
    """Tell by the exit status whether the worker WORKER_NAME is well."""
    settings = usable_settings()
    trouble = Pulse(settings.worker_name).trouble(settings.job_sweep_s)
    if trouble is not None:
        fail(trouble)
    typer.echo("The worker looks for jobs.")


@app.command("webhook-key")
def webhook_key_command() -> None:
    """Print what receivers check the signatures of webhooks with."""
    typer.echo(webhook_key(usable_settings().secret_key.get_secret_value()))


@app.command("migrate")
def migrate_command() -> None:
    """Bring the database to this version's schema."""
    settings = usable_settings()
    guarded(migrate_database(settings))
    typer.echo(f"The database is at revision {head_revision()}.")


app.add_typer(keys.app)
app.add_typer(audit.app)
app.command()(bench)
app.command()(predict)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    app()
