"""How much memory this process may use, which is often less than the machine has."""

import os
from collections.abc import Iterable
from pathlib import Path

CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def budget_bytes(given_bytes: int, *, processes: int) -> int | None:
    """What each of so many may use of `given_bytes`; where that is 0, of half of what
    there is: the rest is for requests, caches and everyone else."""
    total_bytes = given_bytes or (available_memory() or 0) // 2
    return total_bytes // processes or None


def available_memory(limit_files: Iterable[Path] = CGROUP_LIMITS) -> int | None:
    """The smaller of the machine's memory and the control group's limit (version 2
    or 1), in bytes; None where neither is known."""
    known = [_machine_memory(), *map(_limit, limit_files)]
    return min((each for each in known if each is not None), default=None)


def _machine_memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _limit(limit_file: Path) -> int | None:
    try:
        return int(limit_file.read_text())  # "max" is none.
    except (OSError, ValueError):
        return None
