"""Gives the memory of models that were let go of back to the system.

glibc keeps most of what is freed for allocations to come, so that the process stays as
large as it ever was. Nothing happens here where there is no glibc.
"""

import ctypes
import sys
from typing import Any, Final

_MIB = 2**20
# `mallopt`'s names of what it sets.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3


def give_memory_back() -> None:
    """Blocks for some milliseconds, without Python's lock."""
    if _glibc is not None:
        _glibc.malloc_trim(0)


def map_large_blocks() -> None:
    """Has blocks of 1 MiB and more go back as soon as they are freed, for good.

    Left alone, glibc raises that bound to the largest block it has seen, and what
    lies on top of a thread's heap stays there, whoever trims.
    """
    if _glibc is not None:
        _glibc.mallopt(_MMAP_THRESHOLD, _MIB)
        _glibc.mallopt(_TRIM_THRESHOLD, 8 * _MIB)


def _find_glibc() -> Any:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    has_both = hasattr(library, "malloc_trim") and hasattr(library, "mallopt")
    return library if has_both else None


_glibc = _find_glibc()
