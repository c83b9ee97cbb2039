"""Memory that models took is given back, and what they take is measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import graphs
from tests.engine.conftest import WriteModel
from tests.engine.test_inspect import inspector

MIB = 2**20

# Loads, runs and drops a model of 20 MiB, over and over, in a process of its own.
# A line for each time: resident bytes with the model, and without.
CYCLES = """
import asyncio, json, sys
from pathlib import Path
import numpy as np, psutil
from app.engine.executor import Executor
from app.engine.pool import SessionPool

async def main():
    folder, memory = Path(sys.argv[1]), psutil.Process().memory_info
    pool, executor = SessionPool(), Executor(threads=2)
    seen = []
    async def open_it(): return folder
    for _ in range(30):
        session = await pool.load("d", open_it, size_bytes=1)
        i = np.arange(2_000)
        await executor.run(session, {"i": i}, None, deadline=None)
        with_it = memory().rss
        del session
        pool.drop("d")
        while pool.memory_bytes:
            await asyncio.sleep(0.001)
        # The thread that frees and trims is done with all that it was given.
        await asyncio.to_thread(pool._freer.submit(int).result)
        seen.append((with_it, memory().rss))
    await executor.close(); await pool.close()
    print(json.dumps(seen))

asyncio.run(main())
"""


def resident(folder: Path) -> list[tuple[int, int]]:
    command = [sys.executable, "-c", CYCLES, str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=True
    )
    seen: list[tuple[int, int]] = json.loads(done.stdout)
    return seen[5:]


def test_the_memory_of_a_large_weight_is_given_back_each_time(
    write_model: WriteModel,
) -> None:
    seen = resident(write_model(graphs.lookup(5 * 2**20)))
    without = [after for _, after in seen]
    assert min(with_it - after for with_it, after in seen) > 15 * MIB
    assert max(without) - min(without) < 5 * MIB


def test_the_memory_of_small_weights_is_given_back_though_not_each_time(
    write_model: WriteModel,
) -> None:
    seen = resident(write_model(graphs.lookups(256, rows=20 * 1024)))
    assert max(with_it - after for with_it, after in seen) > 15 * MIB
    assert max(with_it for with_it, _ in seen) < min(after for _, after in seen) + (
        45 * MIB
    )


@pytest.mark.parametrize(
    ("rows", "least_mib", "most_mib"),
    [(10, 0, 3), (5 * 2**20, 20, 32)],
    ids=["tiny", "20 MiB"],
)
async def test_validation_measures_what_a_session_takes(
    write_model: WriteModel, rows: int, least_mib: int, most_mib: int
) -> None:
    found = await inspector().inspect(write_model(graphs.lookup(rows)))
    memory_bytes = found.report["memory_bytes"]
    assert least_mib * MIB < memory_bytes < most_mib * MIB


async def test_what_does_not_run_on_samples_is_measured_too(
    write_model: WriteModel,
) -> None:
    found = await inspector().inspect(write_model(graphs.five_numbers()))
    assert not found.report["dry_run"]["ok"]
    assert 0 < found.report["memory_bytes"] < 3 * MIB
