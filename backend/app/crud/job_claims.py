"""Which work is next: a job, or a chunk of one that is under way."""

from app.crud import chunk_leases, job_leases
from app.crud.chunk_leases import ChunkLease, ClaimedChunk
from app.crud.job_leases import Claimed, Lease
from app.database import Session
from app.enums import JobKind

AnyLease = Lease | ChunkLease
AnyClaimed = Claimed | ClaimedChunk


async def claim(
    db: Session,
    owner: str,
    lease_s: float,
    *,
    only: JobKind | None = None,
    store: str | None = None,
) -> AnyClaimed | None:
    """Takes the most urgent piece of work there is: high before normal before low,
    then the oldest job, then the first of its chunks. `only` of jobs of this kind,
    and of files in this store."""
    if only is JobKind.PREDICTION:
        return await job_leases.claim(db, owner, lease_s, only=only)
    chunk = await chunk_leases.find_next(db, store)
    before = chunk.rank if chunk else None
    job = await job_leases.claim(
        db, owner, lease_s, before=before, only=only, store=store
    )
    if job is not None or chunk is None:
        return job
    return await chunk_leases.take(db, chunk, owner, lease_s)
