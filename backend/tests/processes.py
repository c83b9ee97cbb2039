"""Child processes that never outlive the test run, and waiting for them."""

import ctypes
import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from threading import Event

import psutil

PR_SET_PDEATHSIG = 1
SCRATCH_PREFIX = "mlforge-tests-"
LOCK_NAME = "lock"


class NotReady(AssertionError):
    """What was waited for did not come about before the deadline."""


def wait_until(
    ready: Callable[[], bool], what: str, *, timeout_s: float = 20.0
) -> None:
    deadline = time.monotonic() + timeout_s
    pause = Event()
    while not ready():
        if time.monotonic() > deadline:
            raise NotReady(f"{what} did not happen within {timeout_s:g} s")
        pause.wait(0.02)


# Below the ports that Linux gives to outgoing connections (32768 and up): one of those
# may be taken between the look and the server's bind.
_PORTS = range(12_000, 32_000)
# Each process looks from a place of its own and never at one port twice.
_candidates = islice(cycle(_PORTS), os.getpid() * 7919 % len(_PORTS), None)


def free_port() -> int:
    """A port of this machine that nothing listens on, and no other caller was given."""
    for _ in _PORTS:
        port = next(_candidates)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise NotReady("no port of this machine is free")


@dataclass(frozen=True, slots=True)
class Account:
    """The user a child runs as; the same as ours unless we are root."""

    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """An account for programs that refuse to run as root; None if we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("nobody", "daemon", "postgres"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise NotReady("running as root, and there is no user nobody to drop to")


def reachable_by_others(path: Path) -> bool:
    """Whether any user may walk to `path`."""
    return all(step.stat().st_mode & 0o001 for step in (path, *path.parents))


class Scratch:
    """A folder for one server, removed at the end or by the next test run.

    The lock on it is held by this process, so a folder without one was left by a
    test run that was killed.
    """

    def __init__(self, account: Account | None) -> None:
        base = _scratch_base(account)
        _sweep(base)
        made = Path(tempfile.mkdtemp(prefix=f".{SCRATCH_PREFIX}", dir=base))
        self._lock = (made / LOCK_NAME).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Another run that sweeps must not see it before it is locked.
        self.path = made.rename(base / made.name.removeprefix("."))
        if account is not None:
            os.chown(self.path, account.uid, account.gid)

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _scratch_base(account: Account | None) -> Path:
    """A folder for temporary files that `account` may walk to."""
    places = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/dev/shm")]
    if account is None:
        return places[0]
    return next(place for place in places if reachable_by_others(place))


def _sweep(base: Path) -> None:
    """Removes what killed test runs left."""
    for lock in base.glob(f"{SCRATCH_PREFIX}*/{LOCK_NAME}"):
        try:
            with lock.open("w") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:  # In use, or another user's.
            continue


def _die_with_parent(last_signal: signal.Signals) -> Callable[[], None] | None:
    """Makes Linux end the child even when this process gets SIGKILL."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, int(last_signal))


class Child:
    """A started program with its log, in a session of its own.

    A session of its own: the Ctrl-C meant for pytest must not reach it, so that
    fixtures can end it in order.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        account: Account | None = None,
        last_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=env,
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                preexec_fn=_die_with_parent(last_signal),  # noqa: PLW1509 - one C call, no Python locks
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_running(self) -> bool:
        return self.process.poll() is None

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def freeze(self) -> None:
        self._send(signal.SIGSTOP, parents_first=True)

    def thaw(self) -> None:
        self._send(signal.SIGCONT, parents_first=False)

    def kill(self) -> None:
        """SIGKILL to the program and everything it started."""
        self._send(signal.SIGKILL, parents_first=True)
        self.process.wait(10)

    def stop(self, how: signal.Signals = signal.SIGTERM, timeout_s: float = 10) -> int:
        """Asks the program to end, and its exit status. Past the limit: kills it."""
        if self.is_running():
            self.thaw()
            self.process.send_signal(how)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise NotReady(
                f"{how.name} did not end {self.process.args!r} within {timeout_s} s:\n"
                f"{self.output()[-2000:]}"
            ) from None

    def _send(self, what: signal.Signals, *, parents_first: bool) -> None:
        if not self.is_running():
            return
        root = psutil.Process(self.pid)
        family = [root, *root.children(recursive=True)]
        for process in family if parents_first else reversed(family):
            try:
                process.send_signal(what)
            except psutil.NoSuchProcess:
                continue
