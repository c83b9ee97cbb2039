"""What becomes of a piece of work whose run was cut or raised something."""

import asyncio
import logging
from typing import Final

from app.crud.chunk_leases import ClaimedChunk
from app.crud.job_claims import AnyClaimed
from app.crud.job_outcomes import TryAt
from app.errors import DatabaseUnavailable, MLForgeError, Overloaded, ShuttingDown
from app.services.job_endings import Ending, Failed, Postponed, Released
from app.services.job_store import StoreTrouble

logger = logging.getLogger(__name__)

LONGEST_BACKOFF_S: Final = 30.0
# Trouble of this machine, which tells nothing about the rows: no try is used up.
_NOT_THE_ROWS: Final = (DatabaseUnavailable, Overloaded, ShuttingDown)
_UNEXPECTED: Final = "internal"
_STORE: Final = "store_unavailable"
# Each comes `RunnerLimits.store_s` after the last at the earliest: minutes, in all.
STORE_TRIES: Final = 40


def judge(
    run: asyncio.Task[Ending],
    claimed: AnyClaimed,
    *,
    backoff_s: float,
    store_s: float,
) -> Ending:
    """The ending that a run gave, or that its error asks for."""
    if run.cancelled():
        return Released(claimed.lease)
    error = run.exception()
    if error is None:
        return run.result()
    if isinstance(error, StoreTrouble):
        return _of_store(error, claimed, store_s)
    if isinstance(claimed, ClaimedChunk):
        return _of_chunk(error, claimed, backoff_s)
    if not isinstance(error, MLForgeError):
        message = _unexpected(error, claimed, "this job")
        return Failed(claimed.lease, _UNEXPECTED, message)
    if error.status >= 500 and claimed.tries < claimed.max_attempts:
        delay_s = _delay_s(claimed.tries, backoff_s)
        return Postponed(claimed.lease, delay_s, error.code, error.detail)
    return Failed(claimed.lease, error.code, error.detail)


def _of_store(error: StoreTrouble, claimed: AnyClaimed, store_s: float) -> Ending:
    """It tells nothing about the rows, so a job has many such tries; and it may be
    this worker alone, so another can soon make the next."""
    logger.error("%s: %s", claimed.lease, error, exc_info=error)
    if claimed.store_tries + 1 >= STORE_TRIES:
        return Failed(claimed.lease, _STORE, error.detail)
    return Postponed(
        claimed.lease,
        store_s,
        _STORE,
        error.detail,
        at=TryAt.STORE,
        pauses=error.is_everything,
    )


def _of_chunk(error: BaseException, chunk: ClaimedChunk, backoff_s: float) -> Ending:
    """A chunk's last try goes back to the queue too: the next claim writes its rows
    as failed, with the error as the reason. Where that fails the job does."""
    code, message = _UNEXPECTED, ""
    if isinstance(error, MLForgeError):
        code, message = error.code, error.detail
    else:
        message = _unexpected(error, chunk, "the chunk of this row")
    is_callers_fault = isinstance(error, MLForgeError) and error.status < 500
    if isinstance(error, _NOT_THE_ROWS):
        delay_s = _delay_s(1, backoff_s)
        return Postponed(chunk.lease, delay_s, code, message, at=TryAt.MACHINE)
    if is_callers_fault or chunk.tries > chunk.max_attempts:
        return Failed(chunk.lease, code, message)
    is_last = chunk.tries == chunk.max_attempts
    delay_s = 0.0 if is_last else _delay_s(chunk.tries, backoff_s)
    return Postponed(chunk.lease, delay_s, code, message)


def _delay_s(tries: int, backoff_s: float) -> float:
    delay_s: float = backoff_s * 2 ** (tries - 1)
    return min(delay_s, LONGEST_BACKOFF_S)


def _unexpected(error: BaseException, claimed: AnyClaimed, what: str) -> str:
    logger.error("%s failed unexpectedly", claimed.lease, exc_info=error)
    return (
        f"an unexpected error ended {what}; the worker's log has it under the job's id"
    )
