"""The supervisor starts, replaces and ends processes, whatever these do."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.processes import Child, wait_until

BACKEND = Path(__file__).parents[2]
Start = Callable[[str], Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Runs a small crew of that kind."""
    with ExitStack() as stack:

        def start(kind: str) -> Child:
            child = Child(
                [sys.executable, "-m", "tests.cli.small_crew", kind],
                log=tmp_path / "log",
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(BACKEND)},
            )
            stack.callback(child.kill)
            return child

        yield start


def ready(child: Child) -> None:
    wait_until(lambda: "all are ready" in child.output(), "readiness")


def crew(child: Child) -> list[psutil.Process]:
    return psutil.Process(child.pid).children()


def test_processes_that_never_start_are_given_up_with_their_last_words(
    start: Start,
) -> None:
    child = start("can_not_start")
    assert child.process.wait(20) == 3
    last = child.output().splitlines()[-1]
    assert last == (
        "giving up: a server process ended with status 7 before it was ready, "
        "5 times in a row: no disk in drive A"
    )


def test_a_fault_in_a_process_is_shown_and_does_not_run_the_supervisors_code(
    start: Start,
) -> None:
    child = start("crashes")
    assert child.process.wait(20) == 3
    assert "RuntimeError: a fault of ours" in child.output()
    assert child.output().count("giving up") == 1


def test_a_dead_process_is_replaced_and_the_others_go_on(start: Start) -> None:
    child = start("works")
    ready(child)
    victim, other = crew(child)
    victim.kill()
    wait_until(lambda: len({*crew(child)} - {victim, other}) == 1, "a replacement")
    assert other.is_running()
    assert child.stop() == 0


def test_a_start_that_fails_later_does_not_end_those_that_serve(
    start: Start, tmp_path: Path
) -> None:
    child = start("can_not_start_again")
    ready(child)
    victim, other = crew(child)
    victim.kill()
    # Of one seat the first, two that failed, and one that works.
    wait_until(lambda: len(list(tmp_path.glob("?-3"))) == 1, "the fourth process")
    assert other.is_running()
    assert child.stop() == 0


def sockets_of(process: psutil.Process) -> int:
    opened = Path(f"/proc/{process.pid}/fd").iterdir()
    return sum(os.readlink(one).startswith("socket:") for one in opened)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
def test_each_process_holds_nothing_that_is_anothers(start: Start) -> None:
    child = start("works")
    ready(child)
    # Its own end of one channel, and one socket of the port.
    assert [sockets_of(process) for process in crew(child)] == [2, 2]
    child.stop()


def test_a_process_that_will_not_end_is_killed(start: Start) -> None:
    child = start("will_not_end")
    ready(child)
    assert child.stop() == 1
    assert "did not end in time and are killed" in child.output()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
def test_a_signal_during_the_start_ends_it(start: Start, number: int) -> None:
    child = start("works")
    # 1 where it found an import halfway.
    assert child.stop(signal.Signals(number)) in (0, 1, -number)
    assert psutil.pid_exists(child.pid) is False
