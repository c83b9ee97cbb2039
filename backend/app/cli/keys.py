"""`mlforge keys`: API keys by way of the database, so that whoever runs the server
always gets in."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, TypeVar

import typer

from app.auth.limits import LIMIT_NAMES, KeyLimits
from app.cli.preparing import fail, guarded, usable_settings, with_database
from app.database import Database
from app.enums import Scope
from app.models.api_key import ApiKey
from app.models.base import utc_now
from app.services.api_keys import (
    DEFAULT_OVERLAP_HOURS,
    MOST_DAYS,
    MOST_OVERLAP_HOURS,
    ApiKeys,
    MadeKey,
    NewKey,
    limits_of,
    status_of,
)

app = typer.Typer(
    name="keys",
    help="Make, list, limit, rotate and revoke API keys. No server has to run.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

T = TypeVar("T")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KeyId = Annotated[str, typer.Argument(help="The key's id, as `list` shows it.")]
# Each: 0 for no limit, left out for the server's default.
PerSecond = Annotated[
    float | None, typer.Option(help="Requests a second in each process; 0: any.")
]
Burst = Annotated[int | None, typer.Option(help="Requests at once after a pause.")]
ConcurrentJobs = Annotated[
    int | None, typer.Option(help="Jobs that have not ended; 0: any.")
]
Models = Annotated[int | None, typer.Option(help="Versions that it made; 0: any.")]
StoredMb = Annotated[
    int | None, typer.Option(help="Model files and job inputs, in MiB; 0: any.")
]
_PAGE = 100


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who or what will hold the key.")],
    scopes: Annotated[
        str, typer.Option(help="predict, read, write or admin, with commas between.")
    ],
    model_pattern: Annotated[
        str | None, typer.Option(help="Only for models of such names, such as wine*.")
    ] = None,
    expires_in_days: Annotated[
        float | None, typer.Option(min=0.0001, max=MOST_DAYS, help="Else never.")
    ] = None,
    requests_per_s: PerSecond = None,
    burst: Burst = None,
    concurrent_jobs: ConcurrentJobs = None,
    models: Models = None,
    stored_mb: StoredMb = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is printed this once."""
    lifetime = None if expires_in_days is None else timedelta(days=expires_in_days)
    limits = KeyLimits(requests_per_s, burst, concurrent_jobs, models, stored_mb)
    new = NewKey(name, _scopes(scopes), model_pattern, lifetime, limits)
    _print_made(_run(lambda keys: keys.create(new)), as_json=as_json)


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List all keys, newest first."""
    rows = _run(_all)
    if as_json:
        typer.echo(json.dumps([_plain(row) for row in rows], indent=2))
        return
    if not rows:
        typer.echo("No keys.")
    for row in rows:
        last = "never used" if row.last_used_at is None else _day(row.last_used_at)
        parts = [row.id, status_of(row, utc_now()), ",".join(row.scopes)]
        parts += [row.model_pattern or "all models", last, row.name]
        typer.echo("  ".join(parts))


@app.command()
def patch(
    key_id: KeyId,
    requests_per_s: PerSecond = None,
    burst: Burst = None,
    concurrent_jobs: ConcurrentJobs = None,
    models: Models = None,
    stored_mb: StoredMb = None,
    default: Annotated[
        list[str] | None,
        typer.Option(
            help="A limit to leave to the server, such as models; repeatable."
        ),
    ] = None,
) -> None:
    """Set a key's limits. Running servers go by them within a second."""
    given = KeyLimits(requests_per_s, burst, concurrent_jobs, models, stored_mb)
    limits = {name: one for name, one in asdict(given).items() if one is not None}
    for word in default or ():
        name = word.replace("-", "_")
        if name not in LIMIT_NAMES:
            fail(f'There is no limit "{word[:40]}": use {", ".join(LIMIT_NAMES)}.')
        limits[name] = None
    row = _run(lambda keys: keys.set_limits(key_id, limits))
    typer.echo(json.dumps(asdict(limits_of(row))))


@app.command()
def rotate(
    key_id: KeyId,
    overlap_hours: Annotated[
        float,
        typer.Option(
            min=0, max=MOST_OVERLAP_HOURS, help="How long the old key stays valid."
        ),
    ] = DEFAULT_OVERLAP_HOURS,
    as_json: AsJson = False,
) -> None:
    """Make a key with the same rights that takes another's place."""
    overlap = timedelta(hours=overlap_hours)
    made = _run(lambda keys: keys.rotate(key_id, overlap=overlap))
    _print_made(made, as_json=as_json)


@app.command()
def revoke(
    key_id: KeyId,
    force: Annotated[
        bool, typer.Option("--force", help="Even the last valid admin key.")
    ] = False,
) -> None:
    """Revoke a key. Running servers refuse it within a second."""
    _run(lambda keys: keys.revoke(key_id, force=force))
    typer.echo(f"{key_id} is revoked.")


async def _all(keys: ApiKeys) -> list[ApiKey]:
    found: list[ApiKey] = []
    page = 1
    while True:
        part = await keys.list_keys(page=page, page_size=_PAGE)
        found += part.items
        if len(found) >= part.total or not part.items:
            return found
        page += 1


def _run(work: Callable[[ApiKeys], Awaitable[T]]) -> T:
    async def on(database: Database) -> T:
        return await work(ApiKeys(database, _nobody_to_tell))

    return guarded(with_database(usable_settings(), on, via="mlforge keys"))


async def _nobody_to_tell() -> None:
    """Servers see it by the registry's clock."""


def _scopes(text: str) -> frozenset[Scope]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in list(Scope):
            fail(f'There is no scope "{word[:40]}": use {", ".join(Scope)}.')
    return frozenset(map(Scope, words))


def _print_made(made: MadeKey, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**_plain(made.row), "key": made.token}, indent=2))
        return
    typer.echo(made.token)
    typer.echo(
        f"The key {made.row.id} is shown this once. Send it as "
        '"Authorization: Bearer …" or "X-API-Key: …".',
        err=True,
    )


def _plain(row: ApiKey) -> dict[str, Any]:
    times = ("created_at", "expires_at", "revoked_at", "last_used_at")
    return {
        "id": row.id,
        "name": row.name,
        "scopes": row.scopes,
        "model_pattern": row.model_pattern,
        "status": status_of(row, utc_now()),
        **{
            name: value.isoformat() if (value := getattr(row, name)) else None
            for name in times
        },
        "successor": row.successor,
        **asdict(limits_of(row)),
    }


def _day(when: Any) -> str:
    return f"used {when:%Y-%m-%d}"
