"""How many CPUs this process may use, which is often fewer than the machine has."""

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
# Where both versions of control groups are mounted, the second has a folder inside.
_V2_MOUNTS = (".", "unified")


def available_cpus(*, processes: int = 1) -> int:
    """What each of so many processes may use of the CPUs this one is bound to, within
    its control group's quota."""
    if hasattr(os, "sched_getaffinity"):
        bound = len(os.sched_getaffinity(0))
    else:
        bound = os.cpu_count() or 1
    return share_of_cpus(bound, cgroup_quota(), processes=processes)


def share_of_cpus(bound: int, quota: float | None, *, processes: int) -> int:
    """At least 1. A quota of 1.5 counts as 2: one thread could use but two thirds."""
    cpus = bound if quota is None else min(bound, ceil(quota))
    return max(1, cpus // processes)


def cgroup_quota(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> float | None:
    """CPUs by the control groups of both versions; None without a limit."""
    quotas = [
        quota for folder in _own_folders(cgroups, own) for quota in _quotas(folder)
    ]
    return min(quotas, default=None)


def _own_folders(cgroups: Path, own: Path) -> Iterator[Path]:
    """Its groups and those around them, each of which may set a limit."""
    for controllers, path in _own_paths(own):
        if controllers:
            mounts = tuple(dict.fromkeys((controllers, *controllers.split(","))))
        else:
            mounts = _V2_MOUNTS
        for mount in mounts:
            yield from _up_to(cgroups / mount, path)


def _own_paths(own: Path) -> Iterator[tuple[str, str]]:
    """Controllers and path of its groups: `2:cpu,cpuacct:/docker/1f`, `0::/`."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = ["0::/"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            yield controllers, path


def _up_to(mount: Path, path: str) -> Iterator[Path]:
    """In a container the path is often the host's and leads nowhere here: the group
    is then the mount itself."""
    parts = [part for part in path.split("/") if part]
    if ".." in parts:
        parts = []
    for depth in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:depth])


def _quotas(folder: Path) -> Iterator[float]:
    """`cpu.max` holds `150000 100000` or `max 100000`; version 1 has a file each."""
    unified = _words(folder / "cpu.max")
    quota, period = _words(folder / "cpu.cfs_quota_us"), folder / "cpu.cfs_period_us"
    for pair in (unified, [*quota, *_words(period)]):
        try:
            limit, per = map(int, pair)
        except ValueError:  # No such file, or `max`: no limit.
            continue
        if limit > 0 and per > 0:
            yield limit / per


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []
