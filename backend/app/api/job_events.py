"""A job's progress as server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Final

from app.api.job_body import render_job
from app.errors import JobNotFound
from app.models.job import Job
from app.services.jobs import ENDED, Jobs

# Event sources connect again by themselves; a stream for ever would be a leak.
STREAM_FOR_S: Final = 900.0
EVENT_EVERY_S: Final = 0.5
# Proxies and clients take a connection that is silent for long for a dead one.
SILENT_FOR_S: Final = 15.0


async def job_events(jobs: Jobs, job: Job) -> AsyncIterator[str]:
    until = monotonic() + STREAM_FOR_S
    sent, sent_at = "", 0.0
    while True:
        data = render_job(job).model_dump_json()
        if data != sent:
            sent, sent_at = data, monotonic()
            yield f"event: job\ndata: {data}\n\n"
        elif monotonic() - sent_at > SILENT_FOR_S:
            sent_at = monotonic()
            yield ": still there\n\n"
        if job.status in ENDED or jobs.stopping or monotonic() > until:
            return
        await asyncio.sleep(EVENT_EVERY_S)
        try:
            job = await jobs.get(job.id)
        except JobNotFound:
            return
