"""Keeps processes at work on a shared port: starts, replaces and stops them.

It does nothing else, has one thread and never serves, so that it has nothing to die
of. Processes are forked from it: what is imported by then is in memory once.
"""

import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf
from types import FrameType
from typing import Final

from app.cli.listening import SharedPort, close_all
from app.cli.seat import HEARD, STOPPING, Seat, Work

logger = logging.getLogger(__name__)

# Starts of one seat that may fail before anything was ever served.
MOST_FAILURES: Final = 5
GAVE_UP: Final = 3
_LONGEST_WAIT_S: Final = 5.0


class Supervisor:
    """`run` once, from the main thread. `ports` are held; processes get sockets of
    the first. `ready` is called when all are, the first time. They have `grace_s` to
    end, and `kill_after_s` more, before they are killed."""

    def __init__(
        self,
        ports: Sequence[SharedPort],
        work: Work,
        ready: Callable[[Seat], None],
        *,
        workers: int,
        grace_s: float,
        kill_after_s: float = 10.0,
    ) -> None:
        self._ports = ports
        self._work = work
        self._ready = ready
        self._grace_s = grace_s
        self._kill_after_s = kill_after_s
        self._seats = [Seat(slot) for slot in range(workers)]
        self._selector = selectors.DefaultSelector()
        # A signal's arrival is read at one end.
        self._signals = socket.socketpair()
        self._asked: list[int] = []
        # Set once it stops.
        self._kill_at: float | None = None
        self._has_been_ready = False
        self._told: dict[str, int] = {}
        self._status = 0

    def run(self) -> int:
        """The exit status, once every process has ended."""
        with self._hearing_signals():
            while self._kill_at is None or any(seat.pid for seat in self._seats):
                self._start_who_is_due()
                self._wait()
                self._bury()
                self._obey()
                self._tell()
        return self._status

    @contextmanager
    def _hearing_signals(self) -> Iterator[None]:
        for end in self._signals:
            end.setblocking(False)
        self._selector.register(self._signals[0], selectors.EVENT_READ)
        for number in HEARD:
            signal.signal(number, self._heard)
        signal.set_wakeup_fd(self._signals[1].fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            self._selector.close()
            close_all(self._signals)

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        if number in STOPPING:
            self._asked.append(number)

    def _start_who_is_due(self) -> None:
        now = time.monotonic()
        for seat in self._seats:
            if self._kill_at is None and seat.pid is None and seat.due_at <= now:
                self._start(seat)

    def _start(self, seat: Seat) -> None:
        seat.listeners = seat.listeners or self._ports[0].open()
        seat.start(self._work, lambda: self._let_go(seat))
        if seat.channel is not None:
            self._selector.register(seat.channel, selectors.EVENT_READ, seat)

    def _let_go(self, mine: Seat) -> None:
        """In a new process: closes all that belongs to the supervisor and others."""
        self._selector.close()
        close_all(self._signals)
        for port in self._ports:
            port.close()
        for seat in self._seats:
            seat.hang_up()
            if seat is not mine:
                seat.stop_listening()

    def _wait(self) -> None:
        """Until something happened, or is to be done."""
        due = [seat.due_at for seat in self._seats if seat.pid is None]
        until = min(due, default=inf) if self._kill_at is None else self._kill_at
        wait_s = min(max(until - time.monotonic(), 0), _LONGEST_WAIT_S)
        for key, _ in self._selector.select(wait_s):
            if key.data is None:
                with suppress(BlockingIOError):
                    self._signals[0].recv(4096)
            elif not key.data.hear():
                self._hang_up(key.data)

    def _hang_up(self, seat: Seat) -> None:
        if seat.channel is not None:
            self._selector.unregister(seat.channel)
            seat.hang_up()

    def _bury(self) -> None:
        """Every child that ended, the adopted ones too: this may be process 1."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                for seat in self._seats:
                    if seat.pid == ended[0]:
                        self._died(seat, ended[1])

    def _died(self, seat: Seat, status: int) -> None:
        seat.hear()
        self._hang_up(seat)
        pid, was_ready = seat.pid, seat.is_ready
        seat.died()
        if self._kill_at is not None:
            return
        how = _how(status)
        if was_ready:
            logger.error("server process %s %s; another takes its place", pid, how)
        elif self._has_been_ready or seat.failures < MOST_FAILURES:
            logger.error("server process %s %s before it was ready", pid, how)
        else:
            self._give_up(seat, how)

    def _give_up(self, seat: Seat, how: str) -> None:
        words = f": {seat.last_words}" if seat.last_words else ""
        logger.critical(
            "giving up: a server process %s before it was ready, %d times in a row%s",
            how,
            seat.failures,
            words,
        )
        self._status = GAVE_UP
        self._stop(signal.SIGTERM)

    def _obey(self) -> None:
        asked, self._asked = self._asked, []
        for number in asked:
            self._stop(number)
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            logger.error("server processes did not end in time and are killed")
            self._status = self._status or 1
            self._kill_at = time.monotonic() + self._kill_after_s
            for seat in self._seats:
                seat.signal(signal.SIGKILL)

    def _stop(self, number: int) -> None:
        """Passes the signal on. Nothing starts and nothing new is heard any more."""
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._grace_s + self._kill_after_s
        for port in self._ports:
            port.close()
        for seat in self._seats:
            seat.stop_listening()
            seat.signal(number)

    def _tell(self) -> None:
        """Each process how all are, whenever that changes."""
        ready = sum(seat.is_ready for seat in self._seats)
        restarts = sum(max(seat.lives - 1, 0) for seat in self._seats)
        state = {"alive": ready, "total": len(self._seats), "restarts": restarts}
        if state == self._told:
            return
        self._told = state
        if ready == len(self._seats) and not self._has_been_ready:
            self._has_been_ready = True
            self._ready(self._seats[0])
        for seat in self._seats:
            seat.tell(state)


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
