"""What an entry of the audit log costs the change that it tells of.

    python -m bench.audit [--changes N] [--rounds N] [--writers N]

Makes small changes of the registry, with a note and without, in rounds that take turns, on
SQLite and on a PostgreSQL of its own, one after the other and from several writers at once;
prints the median milliseconds of a change and those that the note adds.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.crud import registry_clock
from app.database import Database
from app.enums import Action
from app.migrations import migrate
from app.services.audit import note
from tests.postgres_server import OwnPostgres


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--writers", type=int, default=8)
    asked = parser.parse_args()
    with _dsns() as dsns:
        for dsn in dsns:
            for writers in (1, asked.writers):
                shown = asyncio.run(_measured(dsn, asked, writers))
                sys.stdout.write(shown + "\n")


@contextmanager
def _dsns() -> Iterator[tuple[str, str]]:
    postgres = OwnPostgres()
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "bench.db"
            yield f"sqlite+aiosqlite:///{file}", postgres.create_database()
    finally:
        postgres.close()


async def _measured(dsn: str, asked: argparse.Namespace, writers: int) -> str:
    await migrate(dsn)
    database = Database(dsn, timeout_s=60)
    took: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * asked.rounds):
        is_noted = bool(number % 2)
        began = time.perf_counter()
        share = asked.changes // writers
        work = (_change(database, share, is_noted=is_noted) for _ in range(writers))
        await asyncio.gather(*work)
        ms = (time.perf_counter() - began) * 1000 / (share * writers)
        took[is_noted].append(ms)
    await database.close()
    without, with_note = (statistics.median(took[word]) for word in (False, True))
    return (
        f"{database.dialect}, {writers} at once: {without:.2f} ms a change, "
        f"{with_note - without:+.2f} ms with its entry"
    )


async def _change(database: Database, times: int, *, is_noted: bool) -> None:
    for _ in range(times):
        async with database.transaction() as db:
            await registry_clock.tick(db)
            if is_noted:
                note(db, Action.MODEL_PATCH, "bench:1.0.0")


if __name__ == "__main__":
    main()
