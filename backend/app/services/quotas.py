"""What a key may have of models, bytes and jobs, checked in the transaction that adds
to it, so that two calls at once stay within it together."""

from typing import Final

from app.auth.actor import Actor, current_actor
from app.auth.principal import ANONYMOUS
from app.crud import holdings
from app.database import ReadSession, Session
from app.errors import QuotaExceeded

MIB: Final = 1024 * 1024
# Room is made by whoever deletes, or by a job that ends.
_STORED_RETRY_S: Final = 60
_JOB_RETRY_S: Final = 5


async def hold_versions(
    db: Session, size_bytes: int, *, besides: str | None = None
) -> None:
    """Before a version is written with files of this size. `besides`: its id, where it
    is there already. Raises QuotaExceeded."""
    actor = current_actor()
    if actor.owner is not None and (actor.limits.models or actor.limits.stored_mb):
        await holdings.hold(db, actor.owner)
        await check_versions(db, size_bytes, besides=besides)


async def check_versions(
    db: ReadSession, size_bytes: int, *, besides: str | None = None
) -> None:
    """As things are now. Raises QuotaExceeded."""
    actor = current_actor()
    if actor.owner is None:
        return
    if most := actor.limits.models:
        count = await holdings.count_versions(db, actor.owner, besides=besides)
        if count >= most:
            raise QuotaExceeded(
                f"{_named(actor)} may have {most} versions and has {count}: delete one, "
                "or ask for a larger quota (models).",
                retry_after_s=_STORED_RETRY_S,
            )
    await _check_bytes(db, actor, size_bytes, besides)


async def hold_job(db: Session, size_bytes: int) -> None:
    """Before a job with an input of this size goes to the queue. Raises
    QuotaExceeded."""
    actor = current_actor()
    limits = actor.limits
    if actor.owner is None or not (limits.concurrent_jobs or limits.stored_mb):
        return
    await holdings.hold(db, actor.owner)
    if most := limits.concurrent_jobs:
        count = await holdings.count_live_jobs(db, actor.owner)
        if count >= most:
            raise QuotaExceeded(
                f"{_named(actor)} may have {most} jobs that have not ended and has "
                f"{count}: wait for one, or ask for a larger quota (concurrent_jobs).",
                retry_after_s=_JOB_RETRY_S,
            )
    await _check_bytes(db, actor, size_bytes, None)


async def _check_bytes(
    db: ReadSession, actor: Actor, size_bytes: int, besides: str | None
) -> None:
    if actor.owner is None or not actor.limits.stored_mb or not size_bytes:
        return
    most = actor.limits.stored_mb * MIB
    stored = await holdings.stored_bytes(db, actor.owner, besides=besides)
    if stored + size_bytes > most:
        raise QuotaExceeded(
            f"{_named(actor)} may store {most} bytes, has {stored}, and this takes "
            f"{size_bytes} more: delete versions or jobs, or ask for a larger quota "
            "(stored_mb).",
            retry_after_s=_STORED_RETRY_S,
        )


def _named(actor: Actor) -> str:
    if actor.name == ANONYMOUS:
        return "Whoever calls without an API key"
    return f"The API key {actor.name}"
