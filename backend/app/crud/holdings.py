"""What belongs to an owner: counted for the quotas of keys."""

from typing import Final
from zlib import crc32

from sqlalchemy import func, select, text

from app.database import ReadSession, Session
from app.models.job import LIVE, Job
from app.models.version import Version

_HOLD: Final = text("SELECT pg_advisory_xact_lock(:kind, :owner)")
_KIND: Final = 0x4D4C66  # "MLf": apart from locks of other kinds.


async def hold(db: Session, owner: str) -> None:
    """Until the transaction ends, nobody else adds to what is the owner's: SQLite has
    one writer anyway."""
    if db.get_bind().dialect.name == "postgresql":
        signed = crc32(owner.encode()) - 2**31
        await db.execute(_HOLD, {"kind": _KIND, "owner": signed})


async def count_versions(db: ReadSession, owner: str, *, besides: str | None) -> int:
    statement = (
        select(func.count())
        .select_from(Version)
        .where(Version.created_by == owner, Version.id != _id(besides))
    )
    return (await db.execute(statement)).scalar_one()


async def count_live_jobs(db: ReadSession, owner: str) -> int:
    statement = (
        select(func.count()).select_from(Job).where(Job.created_by == owner, LIVE)
    )
    return (await db.execute(statement)).scalar_one()


async def stored_bytes(db: ReadSession, owner: str, *, besides: str | None) -> int:
    """Files of versions, and what jobs were given; not what these gave."""
    files = select(Version.files).where(
        Version.created_by == owner,
        Version.id != _id(besides),
        Version.files.is_not(None),
    )
    of_versions = sum(
        file["size_bytes"] for found in await db.scalars(files) for file in found or ()
    )
    given = func.coalesce(Job.input_bytes, func.length(Job.payload))
    inputs = select(func.coalesce(func.sum(given), 0)).where(Job.created_by == owner)
    return int(of_versions + (await db.execute(inputs)).scalar_one())


def _id(version_id: str | None) -> str:
    """No version has the one in place of None."""
    return version_id or "00000000-0000-0000-0000-000000000000"
