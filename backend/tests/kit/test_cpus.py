import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from app.kit.cpus import available_cpus, cgroup_quota, share_of_cpus

Machine = Callable[[str, Mapping[str, str]], tuple[Path, Path]]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Writes the files of control groups: the process's own, and by path."""

    def write(own: str, files: Mapping[str, str]) -> tuple[Path, Path]:
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tmp_path / "own").write_text(own)
        return tmp_path / "cgroup", tmp_path / "own"

    return write


V1 = "3:cpuset:/\n2:cpu,cpuacct:/docker/1f\n"


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        pytest.param("0::/", {"cpu.max": "150000 100000\n"}, 1.5, id="v2"),
        pytest.param("0::/", {"cpu.max": "max 100000\n"}, None, id="v2-no-limit"),
        pytest.param(
            "0::/a/b", {"a/b/cpu.max": "50000 100000"}, 0.5, id="v2-own-group"
        ),
        pytest.param(
            "0::/a/b",
            {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"},
            3,
            id="v2-group-around",
        ),
        pytest.param(
            "0::/a/b",
            {"a/b/cpu.max": "400000 100000", "a/cpu.max": "200000 100000"},
            2,
            id="v2-smallest-counts",
        ),
        pytest.param(
            "0::/../other", {"cpu.max": "200000 100000"}, 2, id="v2-outside-the-mount"
        ),
        pytest.param(
            "0::/host/path", {"cpu.max": "200000 100000"}, 2, id="v2-path-of-the-host"
        ),
        pytest.param(
            V1,
            {
                "cpu,cpuacct/docker/1f/cpu.cfs_quota_us": "250000\n",
                "cpu,cpuacct/docker/1f/cpu.cfs_period_us": "100000\n",
            },
            2.5,
            id="v1",
        ),
        pytest.param(
            V1,
            {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "50000"},
            2,
            id="v1-mounted-in-a-container",
        ),
        pytest.param(
            V1,
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            None,
            id="v1-no-limit",
        ),
        pytest.param(
            "1:cpu:/\n0::/",
            {
                "cpu/cpu.cfs_quota_us": "300000",
                "cpu/cpu.cfs_period_us": "100000",
                "unified/cpu.max": "100000 100000",
            },
            1,
            id="both",
        ),
        pytest.param("0::/", {"cpu.max": "garbage"}, None, id="not-understood"),
        pytest.param("0::/", {"cpu.max": ""}, None, id="empty"),
    ],
)
def test_the_quota_is_the_smallest_of_the_groups_around_the_process(
    machine: Machine, own: str, files: Mapping[str, str], quota: float | None
) -> None:
    assert cgroup_quota(*machine(own, files)) == quota


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path / "none", tmp_path / "own") is None


@pytest.mark.parametrize(
    ("bound", "quota", "processes", "expected"),
    [
        (8, None, 1, 8),
        (8, 2, 1, 2),
        (8, 1.5, 1, 2),
        (8, 0.1, 1, 1),
        (2, 8, 1, 2),
        (8, None, 2, 4),
        (8, None, 3, 2),
        (8, 3, 2, 1),
        (2, None, 4, 1),
    ],
)
def test_processes_share_the_cpus_within_the_quota_and_each_has_one(
    bound: int, quota: float | None, processes: int, expected: int
) -> None:
    assert share_of_cpus(bound, quota, processes=processes) == expected


def test_this_process_may_use_no_more_cpus_than_the_machine_has() -> None:
    assert 1 <= available_cpus() <= (os.cpu_count() or 1)
