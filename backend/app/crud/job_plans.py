"""The end of a file job's plan: its chunks are there, anyone may take them."""

from collections.abc import Sequence

from app.crud import job_chunks, jobs
from app.crud.job_chunks import NewChunk
from app.crud.job_leases import Lease
from app.crud.job_outcomes import end_cancelled, write
from app.database import Session
from app.enums import JobStage


async def complete(
    db: Session,
    lease: Lease,
    chunks: Sequence[NewChunk],
    *,
    plain: str,
    rows_total: int | None,
) -> bool:
    """False where the fence does not hold. A cancel that came before wins.

    `rows_total` is exact; None leaves the estimate.
    """
    job = await jobs.find_locked(db, lease.job_id)
    if job is None:
        return False
    if job.cancel_requested:
        return await end_cancelled(db, lease)
    values = {
        "stage": JobStage.SCORE,
        "plain": plain,
        "chunks_total": len(chunks),
        "chunks_done": 0,
        "tries": 0,
        "store_tries": 0,
        "lease_owner": None,
        "lease_until": None,
        "error_code": None,
        "error_message": None,
    }
    if rows_total is not None:
        values["rows_total"] = rows_total
    if not chunks:
        values |= {"stage": JobStage.FINISH, "rows_total": 0, "lease_until": 0.0}
    if not await write(db, lease.fence(), values):
        return False
    await job_chunks.replace(db, job, chunks)
    return True
