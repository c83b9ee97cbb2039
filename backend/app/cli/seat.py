"""One of the processes that share a port, as their supervisor sees it."""

import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from app.cli.listening import close_all

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
HEARD: Final = (*STOPPING, signal.SIGCHLD)
# A process that dies as soon as it is ready is not replaced more often than this.
_LEAST_LIFE_S: Final = 1.0
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_MOST_HEARD: Final = 65536


@dataclass(frozen=True, slots=True)
class Post:
    """What a new process works with. `channel` leads to the supervisor, and ends
    with it; `is_first` is true of the first process of its seat."""

    slot: int
    is_first: bool
    listeners: list[socket.socket]
    channel: socket.socket


# Serves until told to stop, and gives the exit status.
Work = Callable[[Post], int]


@dataclass(slots=True, eq=False)
class Seat:
    slot: int
    listeners: list[socket.socket] = field(default_factory=list)
    channel: socket.socket | None = None
    pid: int | None = None
    is_ready: bool = False
    rpc_port: int | None = None
    # Processes in a row that died before they were ready, and what the last one said.
    failures: int = 0
    last_words: str = ""
    lives: int = 0
    due_at: float = 0.0
    _started_at: float = 0.0
    _heard: bytes = b""

    def start(self, work: Work, let_go: Callable[[], None]) -> None:
        """Forks a process that does `work`, after it has let go of what is others'."""
        ours, theirs = socket.socketpair()
        post = Post(self.slot, self.lives == 0, self.listeners, theirs)
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal must find either the supervisor's handlers or none.
        signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
        pid = os.fork()
        if pid == 0:
            ours.close()
            _live(work, post, let_go)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
        theirs.close()
        ours.setblocking(False)
        self.pid, self.channel = pid, ours
        self.lives += 1
        self._started_at = time.monotonic()
        self._heard = b""

    def hear(self) -> bool:
        """Reads all that the process has said; False once it says nothing more."""
        while self.channel is not None:
            try:
                said = self.channel.recv(_MOST_HEARD)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not said:
                return False
            *lines, self._heard = (self._heard + said).split(b"\n")
            for line in lines:
                self._note(json.loads(line))
        return False

    def tell(self, state: dict[str, Any]) -> None:
        """A process too busy to listen learns it another time."""
        if self.channel is not None:
            with suppress(OSError):
                self.channel.send(json.dumps(state).encode() + b"\n")

    def signal(self, number: int) -> None:
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def died(self) -> None:
        """Empties the seat, and says when the next process is due."""
        now = time.monotonic()
        if self.is_ready:
            self.failures = 0
            self.due_at = max(now, self._started_at + _LEAST_LIFE_S)
        else:
            pause_s = _FIRST_PAUSE_S * 2.0**self.failures
            self.failures += 1
            self.due_at = now + min(pause_s, _LONGEST_PAUSE_S)
            # Nobody may wait on sockets whose next owner may never come.
            self.stop_listening()
        self.pid = None
        self.is_ready = False

    def stop_listening(self) -> None:
        close_all(self.listeners)
        self.listeners = []

    def hang_up(self) -> None:
        if self.channel is not None:
            self.channel.close()
            self.channel = None

    def _note(self, said: dict[str, Any]) -> None:
        if "failed" in said:
            self.last_words = said["failed"]
        else:
            self.is_ready = True
            self.rpc_port = said["rpc_port"]


def _live(work: Work, post: Post, let_go: Callable[[], None]) -> NoReturn:
    """The whole life of a new process; what the supervisor's stack holds is not its."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in HEARD:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
        # A Ctrl-C is the supervisor's, which passes it on: once, not twice.
        os.setpgid(0, 0)
        let_go()
        status = work(post)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
