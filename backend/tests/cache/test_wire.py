"""Outputs survive the wire to the bit; anything else is refused, whatever it is."""

import contextlib
import pickle
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cache.wire import MAGIC, CorruptEntry, WireError, decode, encode, seal
from tests.cache.values import image, rows, tensors

HEAD = len(MAGIC) + 16


@given(tensors)
def test_every_kind_of_value_comes_back_to_the_bit(outputs: Any) -> None:
    assert image(decode(encode(outputs))) == image(outputs)


@given(rows)
def test_a_classifiers_maps_come_back_to_the_bit(maps: Any) -> None:
    again: Any = decode(encode({"p": maps}))
    assert image(again["p"]) == image(maps)
    assert [list(row) for row in again["p"]] == [list(row) for row in maps]


@pytest.mark.parametrize(
    "maps",
    [
        [{0: 0.5, 1: 0.5}, {1: 0.5, 0: 0.5}],
        [{0: 0.5}, {0: 1}],
        [{0: 0.5}, {0: 0.5, 1: 0.5}],
        [{0: 0.5}, {"0": 0.5}],
        [{0: 0.5}, None],
        [{0: 0.5}, [0.5]],
        [{}, {}],
        [],
    ],
)
def test_lists_that_are_almost_a_classifiers_maps_come_back(maps: Any) -> None:
    again: Any = decode(encode({"p": maps}))
    assert image(again["p"]) == image(maps)


def test_order_of_outputs_and_map_entries_is_kept() -> None:
    outputs: Any = {"z": None, "a": {3: 1.0, 1: 2.0, -2: 3.0}}
    again: Any = decode(encode(outputs))
    assert list(again) == ["z", "a"]
    assert list(again["a"]) == [3, 1, -2]


def test_decoded_arrays_are_read_only_and_own_their_memory() -> None:
    again: Any = decode(encode({"y": np.ones((2, 2), np.float32)}))
    assert not again["y"].flags.writeable
    assert again["y"].flags.aligned
    with pytest.raises(ValueError, match="read-only"):
        again["y"][0, 0] = 5


@given(tensors, st.data())
def test_a_changed_byte_is_noticed(outputs: Any, data: st.DataObject) -> None:
    entry = bytearray(encode(outputs))
    at = data.draw(st.integers(0, len(entry) - 1))
    entry[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptEntry):
        decode(bytes(entry))


@given(tensors, st.data())
def test_a_cut_entry_is_noticed(outputs: Any, data: st.DataObject) -> None:
    entry = encode(outputs)
    with pytest.raises(CorruptEntry):
        decode(entry[: data.draw(st.integers(0, len(entry) - 1))])


@given(tensors, st.data())
def test_forged_bodies_with_a_right_digest_give_outputs_or_corrupt_entry(
    outputs: Any, data: st.DataObject
) -> None:
    body = bytearray(encode(outputs)[HEAD:])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CorruptEntry):
        assert isinstance(decode(seal(bytes(body))), dict)


@given(st.binary(max_size=200))
def test_any_bytes_with_a_right_digest_give_outputs_or_corrupt_entry(
    body: bytes,
) -> None:
    with contextlib.suppress(CorruptEntry):
        assert isinstance(decode(seal(body)), dict)


def one_output(value: bytes) -> bytes:
    return seal(
        b"M" + struct.pack("<I", 1) + b"s" + struct.pack("<I", 1) + b"y" + value
    )


def array(name: bytes, *shape: int) -> bytes:
    dimensions = struct.pack(f"<{len(shape)}Q", *shape)
    return b"A%c%b%c" % (len(name), name, len(shape)) + dimensions


@pytest.mark.parametrize(
    "value",
    [
        array(b"float32", 2**40),
        array(b"float32", 2**62, 2**62),
        array(b"string", 2**62),
        array(b"float32", 0, 2**63),
        array(b"string", 0, 2**63),
        array(b"float99", 0),
        array(b"\xff", 0),
        array(b"int8", *[0] * 65),
        array(b"string", 1) + b"N",
        array(b"string", 1) + b"\0" + struct.pack("<Q", 2**63) + b"a",
        array(b"string", 1) + b"\0" + struct.pack("<Q", 1) + b"\xff",
        b"R" + struct.pack("<II", 0xFFFFFFFF, 0),
        b"R" + struct.pack("<II", 1, 0),
        b"R" + struct.pack("<II", 4, 1) + b"s" + struct.pack("<I", 0) + b"12345678",
        b"R" + struct.pack("<II", 1, 1) + b"T12345678",
        b"L" + struct.pack("<I", 0xFFFFFFFF),
        b"M" + struct.pack("<I", 1) + b"fffffffffN",
        b"M" + struct.pack("<I", 1) + b"TN",
        b"s" + struct.pack("<I", 1) + b"\xff",
        (b"L" + struct.pack("<I", 1)) * 5000 + b"N",
        b"?",
        b"NN",
        b"",
    ],
)
def test_claims_that_do_not_hold_are_refused(value: bytes) -> None:
    with pytest.raises(CorruptEntry):
        decode(one_output(value))


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"MLFP",
        pickle.dumps({"y": 1}),
        b"MLFP\x02" + encode({})[len(MAGIC) :],
        seal(b"L" + struct.pack("<I", 0)),
        seal(b"M" + struct.pack("<I", 1) + b"i" + struct.pack("<I", 1) + b"\x01N"),
    ],
)
def test_what_is_no_entry_of_this_version_is_refused(entry: bytes) -> None:
    with pytest.raises(CorruptEntry):
        decode(entry)


def nested(levels: int) -> Any:
    value: Any = None
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        object(),
        1j,
        np.array([object()], object),
        np.array([1j]),
        np.array([1.0], ">f4"),
        nested(100),
    ],
)
def test_what_no_model_gives_is_not_written(value: Any) -> None:
    with pytest.raises(WireError):
        encode({"y": value})
