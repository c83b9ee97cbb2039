"""Calls of file jobs that many tests make."""

from typing import Any

import httpx
import pytest

from tests.calls import API

JOBS = f"{API}/jobs"
# For what no database and no worker elsewhere can change.
embedded_only = pytest.mark.parametrize("deployment", ["embedded"], indirect=True)


async def send(
    client: httpx.AsyncClient,
    content: bytes,
    *,
    name: str = "rows.csv",
    key: str | None = None,
    **fields: str,
) -> httpx.Response:
    return await client.post(
        JOBS,
        files={"file": (name, content, "application/octet-stream")},
        data=fields,
        headers={} if key is None else {"Idempotency-Key": key},
    )


async def submit(
    client: httpx.AsyncClient, content: bytes, *, name: str = "rows.csv", **fields: str
) -> dict[str, Any]:
    """A file job that must be taken; its JSON."""
    response = await send(client, content, name=name, **fields)
    assert response.status_code == 201, response.text
    job: dict[str, Any] = response.json()
    assert response.headers["location"] == f"{JOBS}/{job['id']}"
    return job


async def ended(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """The job's JSON once it has ended; nothing of its result is read."""
    async with client.stream("GET", f"{JOBS}/{job_id}/events") as events:
        await events.aread()
    response = await client.get(f"{JOBS}/{job_id}")
    job: dict[str, Any] = response.json()
    assert job["status"] in {"completed", "failed", "cancelled"}, job
    return job


async def completed(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    job = await ended(client, job_id)
    assert job["status"] == "completed", job
    return job
