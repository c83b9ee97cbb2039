"""Runs the loads that a plan asks for, in this process or in several."""

import asyncio
import gc
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final

import uvloop

from app.cli.bench.connection import Connection, Http1Connection
from app.cli.bench.http2 import Http2Connection, header_block
from app.cli.bench.load import Limits, Outcome, closed_loop, open_loop
from app.cli.bench.requests import GRPC_PATH, Protocol, Requests
from app.cli.bench.results import Result, result_of
from app.cli.bench.target import Address

# Between the inputs of two loads, or of two processes of one: none sends as many.
_APART: Final = 5_000_000
WARM_UP_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Door:
    """Where one protocol's requests go."""

    protocol: Protocol
    address: Address
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Job:
    """One process's part of a load. With a `rate` its loop is open."""

    door: Door
    requests: Requests
    limits: Limits
    connections: int
    first: int
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    concurrency: tuple[int, ...]
    limits: Limits
    processes: int
    rate: float
    shares: tuple[float, ...]


def measure(door: Door, requests: Requests, plan: Plan) -> Iterator[Result]:
    """A warm-up, the closed loops, then the open ones; each as soon as it is done."""
    # From 1: whoever prepared the requests has sent the first.
    run = partial(_load, door, requests, plan, count(1))
    most = max(plan.concurrency)
    warm_up_s = min(WARM_UP_S, plan.limits.seconds)
    run(most, None, Limits(warm_up_s, plan.limits.timeout_s))
    peak = 0.0
    for connections in plan.concurrency:
        result = run(connections, None, plan.limits)
        peak = max(peak, result.per_second)
        yield result
    rates = [plan.rate] if plan.rate else []
    rates += [peak * share for share in plan.shares]
    for rate in rates:
        if rate >= 1:
            yield run(most, rate, plan.limits)


def _load(
    door: Door,
    requests: Requests,
    plan: Plan,
    loads: Iterator[int],
    connections: int,
    rate: float | None,
    limits: Limits,
) -> Result:
    processes = min(plan.processes, connections)
    first = next(loads) * _APART * plan.processes
    jobs = [
        Job(
            door,
            requests,
            limits,
            connections // processes + (at < connections % processes),
            first + at * _APART,
            None if rate is None else rate / processes,
        )
        for at in range(processes)
    ]
    return result_of(door.protocol.value, connections, rate, _run_all(jobs))


def _run_all(jobs: Sequence[Job]) -> list[Outcome]:
    if len(jobs) == 1:
        return [run_job(jobs[0])]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(jobs), mp_context=context) as pool:
        return list(pool.map(run_job, jobs))


def run_job(job: Job) -> Outcome:
    """Without the collector: a pause of ours would be taken for the server's."""
    gc.collect()
    gc.disable()
    try:
        return uvloop.run(_run(job))
    finally:
        gc.enable()


async def _run(job: Job) -> Outcome:
    connect = partial(_connect, job.door)
    if job.rate is None:
        return await closed_loop(
            connect,
            job.requests,
            job.limits,
            connections=job.connections,
            first=job.first,
        )
    return await open_loop(
        connect,
        job.requests,
        job.limits,
        connections=job.connections,
        rate=job.rate,
        first=job.first,
        seed=job.first + 1,
    )


async def _connect(door: Door) -> Connection:
    loop, address = asyncio.get_running_loop(), door.address
    async with asyncio.timeout(10):
        _, connection = await loop.create_connection(
            _factory(door), address.host, address.port
        )
    return connection


def _factory(door: Door) -> Callable[[], Http1Connection | Http2Connection]:
    if door.protocol is not Protocol.GRPC:
        return Http1Connection
    block = header_block(door.address.authority, GRPC_PATH, door.headers)
    return partial(Http2Connection, block)
