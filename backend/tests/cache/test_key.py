"""A key names everything that changes the answer, and nothing else."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cache.key import DIGEST_BYTES, CacheKey, cache_key
from tests.cache.values import image, names, tensors

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def key_of(inputs: Any, outputs: list[str] | None = None) -> CacheKey:
    return cache_key("v1", 0, inputs, outputs)


@given(tensors, tensors)
def test_two_inputs_share_a_key_only_when_equal_to_the_bit(a: Any, b: Any) -> None:
    assert (key_of(a) == key_of(b)) == (image(a) == image(b))


@given(tensors)
def test_order_of_the_inputs_and_copies_do_not_change_the_key(inputs: Any) -> None:
    turned = dict(reversed(inputs.items()))
    assert key_of(turned) == key_of(inputs)


wanted = st.none() | st.lists(names, max_size=4)


@given(wanted, wanted)
def test_outputs_wanted_and_their_order_change_the_key(
    a: list[str] | None, b: list[str] | None
) -> None:
    assert (key_of({"x": X}, a) == key_of({"x": X}, b)) == (a == b)


def test_version_and_epoch_change_the_key() -> None:
    made = {
        cache_key(version, epoch, {"x": X}, None)
        for version in ("v1", "v2")
        for epoch in (0, 1)
    }
    assert len(made) == 4


def test_digest_has_128_bits() -> None:
    assert len(key_of({"x": X}).digest) == DIGEST_BYTES == 16


@pytest.mark.parametrize(
    "other",
    [
        {"y": X},
        {"x": X.reshape(3, 2)},
        {"x": X.reshape(2, 3, 1)},
        {"x": X.astype(np.float64)},
        {"x": X.view(np.int32)},
        {"x": X.astype(">f4")},
        {"x": X.T.copy()},
        {"x": -X},
        {"x": X, "y": X},
        {"x": [X]},
        {"x": {"x": X}},
        {"x": None},
        {},
    ],
)
def test_any_difference_of_an_input_changes_the_key(other: Any) -> None:
    assert key_of(other) != key_of({"x": X})


def test_types_of_one_size_and_code_are_told_apart() -> None:
    raw = np.zeros(4, np.uint8)
    types = [
        ml_dtypes.float8_e4m3fn,
        ml_dtypes.float8_e5m2,
        ml_dtypes.int4,
        ml_dtypes.uint4,
        np.int8,
        np.bool_,
    ]
    assert len({key_of({"x": raw.view(kind)}) for kind in types}) == len(types)


@pytest.mark.parametrize(
    ("a", "b"),
    [(["ab", "c"], ["a", "bc"]), (["a"], [b"a"]), (["", "a"], ["a", ""])],
)
def test_strings_are_hashed_by_content_with_their_lengths_and_kinds(
    a: list[Any], b: list[Any]
) -> None:
    left, right = np.array(a, object), np.array(b, object)
    assert key_of({"x": left}) != key_of({"x": right})


def test_equal_strings_in_other_objects_are_one_key() -> None:
    text, again = (b"written twice".decode() for _ in range(2))
    assert text is not again
    a, b = np.array([[text]], object), np.array([[again]], object)
    assert key_of({"x": a}) == key_of({"x": b})


def test_views_and_copies_of_the_same_numbers_are_one_key() -> None:
    big = np.arange(40_000, dtype=np.float32).reshape(200, 200)
    for array in (X, big):
        plain = key_of({"x": array})
        assert key_of({"x": np.asfortranarray(array)}) == plain
        assert key_of({"x": np.repeat(array, 2, axis=0)[::2]}) == plain
        read_only = array.copy()
        read_only.flags.writeable = False
        assert key_of({"x": read_only}) == plain


def test_integers_and_floats_of_the_body_are_one_key_once_they_are_tensors() -> None:
    whole = np.array([[1, 2]], np.float32)
    spelt = np.array([[1.0, 2.0]], np.float32)
    assert key_of({"x": whole}) == key_of({"x": spelt})


def test_a_value_no_model_takes_is_refused() -> None:
    with pytest.raises(TypeError, match="object can be no part of a cache key"):
        key_of({"x": np.array([object()], object)})
