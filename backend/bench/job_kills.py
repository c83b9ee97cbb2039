"""Kills workers at random while they score files, and compares every result.

    python -m bench.job_kills [--kills 50] [--workers 2] [--seed N] [--out kills.json]

A server, PostgreSQL and Redis run throughout; one worker after the other gets SIGKILL at
a random moment and a new one takes its place. Jobs follow each other until all kills
are done; each result must be, byte for byte, what an undisturbed run gives, and a kill
may cost no more chunks than a worker has in hand. Exits with 1 if one does not hold.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event

from bench import machine
from tests.e2e.file_site import ENDED, SOON_S, FileJob, Numbers, Site
from tests.processes import wait_until

IN_HAND = 2
LONGEST_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Ended:
    job: int
    kills: int
    chunks: int
    redone: int
    rows: int
    seconds: float


class Killing:
    def __init__(self, site: Site, *, workers: int, kills: int, seed: int) -> None:
        self._site = site
        self._workers = [site.start_worker() for _ in range(workers)]
        self._random = random.Random(seed)
        self._pause = Event()
        self.left = kills

    def run(self, numbers: Numbers) -> list[Ended]:
        ended: list[Ended] = []
        while self.left:
            ended.append(self._job(numbers, len(ended) + 1))
            say(json.dumps(asdict(ended[-1])))
        return ended

    def _job(self, numbers: Numbers, number: int) -> Ended:
        before, began = self.left, time.monotonic()
        job = self._site.submit(numbers)
        while self.left and not has_ended(job):
            self._kill_one(job)
        job.check()
        kills = before - self.left
        redone = job.redone()
        assert redone <= kills * IN_HAND, (redone, kills)
        took_s = round(time.monotonic() - began, 1)
        return Ended(number, kills, numbers.chunks, redone, numbers.rows, took_s)

    def _kill_one(self, job: FileJob) -> None:
        """At a random moment of its work."""
        place = self._random.randrange(len(self._workers))
        victim = self._workers[place]
        wait_until(
            lambda: has_ended(job) or job.in_hand(victim) > 0, "work", timeout_s=SOON_S
        )
        self._pause.wait(self._random.uniform(0, LONGEST_PAUSE_S))
        if has_ended(job):
            return
        victim.kill()
        self.left -= 1
        self._workers[place] = self._site.start_worker()


def has_ended(job: FileJob) -> bool:
    return job.look()["status"] in ENDED


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--chunk-rows", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    say(f"seed {options.seed}")
    numbers = Numbers(options.rows, options.chunk_rows)
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), {})
        try:
            killing = Killing(
                site, workers=options.workers, kills=options.kills, seed=options.seed
            )
            ended = killing.run(numbers)
        finally:
            site.close()
    report = {
        "seed": options.seed,
        "machine": machine.describe(),
        "jobs": [asdict(one) for one in ended],
        "kills": sum(one.kills for one in ended),
        "redone": sum(one.redone for one in ended),
    }
    say(json.dumps(report, indent=1))
    if options.out:
        options.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
