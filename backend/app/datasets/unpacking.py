"""Packed files, unpacked piece by piece, and no further than they may."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from app.datasets.kinds import check_packing
from app.datasets.limits import MIB, FileLimits
from app.enums import Compression
from app.errors import InvalidRequest, PayloadTooLarge
from app.kit.offload import Check

_HEAD_BYTES: Final = 16
_ITS_SETTING: Final = "(JOB_MAX_INPUT_MB); send it in parts"


class Unpacked:
    """The unpacked bytes of a file, in order."""

    def __init__(
        self,
        file: Any,
        compression: Compression,
        limits: FileLimits,
        hint: str = _ITS_SETTING,
    ) -> None:
        self._packed = file
        self._limits = limits
        self._hint = hint
        self._size = 0
        self._name = str(compression)
        is_plain = compression is Compression.NONE
        self._stream = file if is_plain else pa.CompressedInputStream(file, self._name)
        self._is_plain = is_plain

    def read(self, size: int) -> bytes:
        """Raises InvalidRequest where the file is broken, PayloadTooLarge at a limit."""
        try:
            data: bytes = self._stream.read(size)
        except (pa.ArrowException, OSError, EOFError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                # The disk's word, not one about what is in the file.
                raise
            reason = str(error).partition("\n")[0][:200].rstrip(".")
            raise InvalidRequest(
                f"The file is no valid {self._name}: {reason}; pack it again."
            ) from None
        self._size += len(data)
        self._check_size()
        return data

    def size_of(self, packed_bytes: int) -> float:
        """About what so many bytes of the file unpack to."""
        read = max(int(self._packed.tell()), 1)
        return packed_bytes * self._size / read

    def _check_size(self) -> None:
        limits = self._limits
        if self._size > limits.input_bytes:
            raise PayloadTooLarge(
                f"The file unpacks to more than {limits.input_bytes // MIB} MiB, the "
                f"limit {self._hint}."
            )
        if self._is_plain or self._size <= limits.free_bytes:
            return
        if self._size > limits.ratio * self._packed.tell():
            raise PayloadTooLarge(
                f"The file unpacks to more than {limits.ratio} times its size, the "
                f"limit beyond {limits.free_bytes // MIB} MiB; send it unpacked."
            )


@contextmanager
def unpacked(
    path: Path,
    compression: Compression,
    limits: FileLimits,
    hint: str = _ITS_SETTING,
) -> Iterator[Unpacked]:
    """`hint` says whose limit `limits.input_bytes` is, and what to do about it."""
    with pa.OSFile(str(path)) as file:
        check_packing(file.read(_HEAD_BYTES), compression)
        file.seek(0)
        yield Unpacked(file, compression, limits, hint)


def unpack(
    source: Path,
    plain: Path,
    compression: Compression,
    limits: FileLimits,
    check: Check,
    hint: str = _ITS_SETTING,
) -> None:
    """Durable, and there only as a whole."""
    partial = plain.with_name(f"{plain.name}.partial")
    try:
        with (
            unpacked(source, compression, limits, hint) as stream,
            partial.open("wb") as out,
        ):
            while data := stream.read(MIB):
                out.write(data)
                check()
            out.flush()
            os.fsync(out.fileno())
        partial.replace(plain)
    finally:
        partial.unlink(missing_ok=True)
