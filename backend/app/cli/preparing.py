"""What commands need before they begin: usable settings, a database, a folder."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import NoReturn, TypeVar

import typer
from pydantic import ValidationError

from app.auth.actor import Actor, Arrival, acting
from app.cli.dotenv import unknown_in_dotenv
from app.config import Settings
from app.database import Database
from app.engine.providers import BadProvider, checked_providers
from app.errors import MLForgeError
from app.migrations import is_current, migrate
from app.observability.logging import configure_logging
from app.services.webhook_hosts import WebhookHosts

T = TypeVar("T")

logger = logging.getLogger(__name__)


def usable_settings() -> Settings:
    try:
        settings = Settings()
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, item['loc'])).upper() or 'settings'}: "
            + item["msg"].removeprefix("Value error, ")
            for item in error.errors()
        ]
        fail("The settings are not usable.\n  " + "\n  ".join(lines))
    _check_providers(settings)
    _check_webhook_hosts(settings)
    configure_logging(settings.log_level, settings.log_format)
    for name, meant in unknown_in_dotenv().items():
        hint = f"; {meant} is the nearest" if meant else ""
        logger.warning(".env sets %s, which is no setting%s", name, hint)
    return settings


def _check_providers(settings: Settings) -> None:
    try:
        checked_providers(settings.provider_names)
    except BadProvider as error:
        fail(f"EXECUTION_PROVIDERS: {error}.")


def _check_webhook_hosts(settings: Settings) -> None:
    try:
        WebhookHosts.parse(settings.job_webhook_hosts)
    except ValueError as error:
        fail(f"JOB_WEBHOOK_HOSTS: {error}.")


async def prepare(settings: Settings) -> None:
    """The embedded database is migrated here; another one must have been."""
    dsn = settings.database_dsn
    _make_folder(settings.data_dir)
    if dsn.startswith("sqlite"):
        await migrate(dsn)
    elif not await is_current(dsn):
        fail("The database is not at this version's schema: run `mlforge migrate`.")


async def with_database(
    settings: Settings, work: Callable[[Database], Awaitable[T]], *, via: str = ""
) -> T:
    """`work` on the database of the server. None is made where there is none. What it
    changes, the command `via` did."""
    if not settings.database_url and not (settings.data_dir / "mlforge.db").exists():
        fail(
            f"There is no database in DATA_DIR={settings.data_dir}: set DATA_DIR or "
            "DATABASE_URL to the server's, or make one with `mlforge migrate`."
        )
    await prepare(settings)
    database = Database(settings.database_dsn, timeout_s=settings.database_timeout_s)
    try:
        with acting(Actor("cli", Arrival(via))):
            return await work(database)
    finally:
        await database.close()


async def migrate_database(settings: Settings) -> None:
    if not settings.database_url:
        _make_folder(settings.data_dir)
    await migrate(settings.database_dsn)


def _make_folder(data_dir: Path) -> None:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(
            f"DATA_DIR={data_dir} can't be made ({error.strerror}): choose a folder that "
            "you may write to."
        )
    if not os.access(data_dir, os.W_OK | os.X_OK):
        fail(f"DATA_DIR={data_dir} can't be written to: choose another folder.")


def guarded(work: Coroutine[None, None, T]) -> T:
    """Runs `work`; trouble a person can mend is one line, not a stack."""
    try:
        return asyncio.run(work)
    except MLForgeError as error:
        fail(error.detail)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        fail(f"The database can't be opened ({where}{error.strerror or error}).")


def fail(message: str) -> NoReturn:
    typer.secho(message, err=True, fg=typer.colors.RED)
    raise typer.Exit(1)
