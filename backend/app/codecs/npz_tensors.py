"""npz archives as bodies and answers: one array for every input and output.

An archive is read as `numpy.load(…, allow_pickle=False)` would, but each member's
size is held against what its header says before room is made for it.
"""

import io
import math
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.lib import format as npy

from app.codecs.base import Answer, Asked, Encoded, Target
from app.codecs.coercion import as_text, coerce
from app.codecs.dense import densify
from app.codecs.file_options import FileOptions, too_large
from app.codecs.json_tensors import Index, Place
from app.codecs.row_answers import answer_headers
from app.engine.signature import ValueSpec
from app.engine.tensors import ElementType
from app.engine.value_types import OptionalType, TensorType
from app.engine.values import Array, Value
from app.errors import InvalidInput, InvalidRequest, NotAcceptable

MEDIA_TYPE = "application/x-npz"
_SUFFIX: Final = ".npy"
_COMPRESSIONS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class NPZTensors:
    options: FileOptions

    def decode(self, body: bytes, target: Target) -> Asked:
        inputs: dict[str, Value] = {}
        for name, array in self._arrays(body).items():
            spec = target.signature.inputs_by_name.get(name)
            if spec is None:
                known = ", ".join(target.signature.inputs_by_name)
                raise InvalidInput(
                    f'the model has no input "{name}"; it takes {known or "none"}.'
                )
            inputs[name] = _tensor(array, spec)
        outputs = self.options.outputs_of(target)
        return Asked(inputs, outputs, self.options.skip_cache)

    def _arrays(self, body: bytes) -> dict[str, Array]:
        try:
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                return self._members(archive)
        except _BROKEN as error:
            reason = str(error).partition("\n")[0][:200].rstrip(".")
            raise InvalidRequest(f"The body is no valid npz file: {reason}.") from None

    def _members(self, archive: zipfile.ZipFile) -> dict[str, Array]:
        room = self.options.limit_bytes
        arrays: dict[str, Array] = {}
        for info in archive.infolist():
            name = info.filename.removesuffix(_SUFFIX)
            if name in arrays:
                raise InvalidRequest(f'The npz file has "{name}" twice.')
            if info.compress_type not in _COMPRESSIONS:
                raise InvalidRequest(
                    f'npz "{name}": compressed by another way than numpy\'s; '
                    f"use numpy.savez or numpy.savez_compressed."
                )
            with archive.open(info) as member:
                data = member.read(room + 1)
            room -= len(data)
            if room < 0:
                raise too_large("The npz file", self.options.limit_bytes)
            arrays[name] = _array(data, name)
        return arrays


class NPZAnswer:
    """ZipMaps come as `[rows, classes]`, their labels in `name.labels`."""

    def encode(self, answer: Answer) -> Encoded:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, array in _outputs(answer).items():
                with archive.open(name + _SUFFIX, "w", force_zip64=True) as member:
                    npy.write_array(member, array, allow_pickle=False)
        return Encoded(buffer.getvalue(), MEDIA_TYPE, answer_headers(answer))


def _array(data: bytes, name: str) -> Array:
    stream = io.BytesIO(data)
    version = npy.read_magic(stream)
    if version == (1, 0):
        shape, is_fortran, dtype = npy.read_array_header_1_0(stream)
    else:
        shape, is_fortran, dtype = npy.read_array_header_2_0(stream)
    if dtype.hasobject:
        raise InvalidInput(
            f'npz "{name}" holds pickled objects, which are never read; '
            f"save strings as a numpy array of dtype str."
        )
    here, count = len(data) - stream.tell(), math.prod(shape)
    if min(shape, default=0) < 0 or count * dtype.itemsize != here:
        raise InvalidInput(
            f'npz "{name}": {dtype} {list(shape)} takes {count * dtype.itemsize} '
            f"bytes, but {here} are there."
        )
    if not dtype.itemsize and count > len(data):
        raise InvalidInput(f'npz "{name}" holds {count} elements of no size.')
    order: Literal["F", "C"] = "F" if is_fortran else "C"
    if not here:
        return np.zeros(shape, dtype)
    # A byte of a bool may be any; a tensor's is 0 or 1.
    held = np.dtype(np.uint8) if dtype.kind == "b" else dtype
    array: Array = np.frombuffer(data, held, count, stream.tell())
    array = array != 0 if dtype.kind == "b" else array
    return array.reshape(shape, order=order)


def _tensor(array: Array, spec: ValueSpec) -> Array:
    kind = spec.type.of if isinstance(spec.type, OptionalType) else spec.type
    if not isinstance(kind, TensorType):
        raise InvalidInput(
            f'input "{spec.name}" is {spec.dtype}, which npz can\'t hold; send JSON.'
        )

    def place(index: Index) -> str:
        return spec.name + "".join(f"[{i}]" for i in index)

    return _coerced(array, kind.element, place)


def _coerced(array: Array, element: ElementType, place: Place) -> Array:
    dtype = array.dtype
    is_unknown = dtype.kind == "V" and not dtype.fields and not element.native
    if is_unknown and dtype.itemsize == element.dtype.itemsize:
        # numpy saves the types it does not know as bytes without a type.
        return np.array(array, order="C").view(element.dtype)
    if dtype.kind in "US":
        array = _strings(array, place)
    elif dtype.kind not in "fiub":
        raise InvalidInput(f"{place(())}: arrays of dtype {dtype} are not taken.")
    elif dtype == element.dtype:
        return np.array(array, order="C")
    return coerce(array, element, place)


def _strings(array: Array, place: Place) -> Array:
    texts = np.empty(array.shape, dtype=object)
    if array.dtype.kind == "S":
        texts.reshape(-1)[:] = [as_text(v) for v in array.reshape(-1).tolist()]
        return texts
    codes = np.array(array, array.dtype.newbyteorder("="), order="C")
    codes = codes.reshape(-1).view(np.uint32) if array.dtype.itemsize else codes[:0]
    if ((codes > _LAST_CODE) | ((codes >= 0xD800) & (codes < 0xE000))).any():
        raise InvalidInput(f"{place(())}: a string holds what is no Unicode character.")
    return array.astype(object)


_LAST_CODE: Final = 0x10FFFF


def _outputs(answer: Answer) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for name, value in answer.outputs.items():
        spec = answer.target.signature.outputs_by_name[name]
        try:
            dense = densify(value, spec)
        except InvalidRequest:
            raise NotAcceptable(
                f'output "{name}" ({spec.dtype}) is no one array here, so npz can\'t '
                f"hold it: ask for other outputs, or accept application/json."
            ) from None
        arrays[name] = _savable(dense.array, name)
        if dense.labels is not None:
            arrays[f"{name}.labels"] = np.array(dense.labels)
    return arrays


def _savable(array: Array, name: str) -> Array:
    """Strings at the width of the longest, which is all that numpy saves unpickled."""
    if array.dtype != object:
        return array
    values = array.reshape(-1).tolist()
    longest = max(map(len, values), default=0)
    is_text = all(isinstance(value, str) for value in values)
    ends_well = not any(value[-1:] in {"\0", b"\0"} for value in values)
    if not is_text or not ends_well or longest * len(values) > _WIDEST:
        raise NotAcceptable(
            f'output "{name}" holds strings that npz can\'t: bytes, an end of NUL, or '
            f"a length far above the others'; accept application/json."
        )
    return array.astype(np.str_)


_WIDEST: Final = 16 << 20
