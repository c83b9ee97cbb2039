"""What the validating child takes from itself before it touches a stranger's file."""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_IS_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS, _PR_GET_NO_NEW_PRIVS = 38, 39

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_QUESTION = 1
_RULE_PATH_BENEATH = 1
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
# How many kinds of file access each version of Landlock knows, from version 1 on.
_FILE_RIGHTS = (13, 14, 15, 15, 16)
_TCP_SINCE, _TCP = 4, 0b11  # Binding and connecting.
_SCOPE_SINCE, _SCOPE = 6, 0b11  # Abstract sockets and signals of others.


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scope", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def die_with_parent(parent_pid: int) -> None:
    """Has the kernel kill this process when its parent dies."""
    if _IS_LINUX:
        _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        raise SystemExit("the parent is gone")


def limit_resources(*, memory_bytes: int, cpu_s: int) -> None:
    """Bounds memory and CPU time; forbids writing files and dumping core.

    The address space that is mapped by now is not counted.
    """
    _limit(resource.RLIMIT_AS, memory_bytes + _mapped_bytes())
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    # The second more lets the signal that names the reason come first.
    _limit(resource.RLIMIT_CPU, cpu_s, cpu_s + 1)


def has_no_new_privileges() -> bool:
    """Whether a program that this process starts can gain none."""
    return _IS_LINUX and _libc().prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1


def confine(readable: Sequence[Path]) -> int:
    """Leaves only reading below `readable`, no TCP and no privileges to gain, to this
    thread and those it makes. The version of Landlock.

    0 where the kernel has none: then `forbid_opening` is what protects files.
    """
    if not _IS_LINUX:
        return 0
    _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    version: int = _libc().syscall(_CREATE_RULESET, None, 0, _VERSION_QUESTION)
    if version < 1:
        return 0
    rights = _FILE_RIGHTS[min(version, len(_FILE_RIGHTS)) - 1]
    rules = _Ruleset(
        (1 << rights) - 1,
        _TCP if version >= _TCP_SINCE else 0,
        _SCOPE if version >= _SCOPE_SINCE else 0,
    )
    ruleset = _checked(
        _libc().syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.sizeof(rules), 0)
    )
    for path in filter(Path.exists, readable):
        _allow_reading(ruleset, path)
    _checked(_libc().syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)
    return version


def forbid_processes() -> None:
    """No process and no thread can be made from here on, unless by root."""
    _limit(resource.RLIMIT_NPROC, 0)


def forbid_opening() -> None:
    """No file, socket or pipe can be opened from here on; what is open stays.

    Zero, for under any other limit closing an open file would make room for one.
    """
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    highest = resource.getrlimit(kind)[1]
    hard = soft if hard is None else hard
    if highest != resource.RLIM_INFINITY:
        soft, hard = min(soft, highest), min(hard, highest)
    resource.setrlimit(kind, (soft, hard))


def _allow_reading(ruleset: int, path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    rule = _PathBeneath(_READ_FILE | _READ_FOLDER, folder)
    _checked(
        _libc().syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    )
    os.close(folder)


def _mapped_bytes() -> int:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0
    return int(statm.read_text().split()[0]) * resource.getpagesize()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
