"""The database's own clock, in seconds since the epoch."""

from typing import Any

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class database_now(FunctionElement[float]):  # noqa: N801 - reads as the SQL function it is
    """The instant the statement runs, not the one its transaction began at."""

    type = Double()
    inherit_cache = True


@compiles(database_now, "postgresql")
def _postgresql(_: database_now, __: SQLCompiler, **___: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


@compiles(database_now, "sqlite")
def _sqlite(_: database_now, __: SQLCompiler, **___: Any) -> str:
    # unixepoch('subsec') needs SQLite 3.42; this is as exact and older.
    return "((julianday('now') - 2440587.5) * 86400.0)"
