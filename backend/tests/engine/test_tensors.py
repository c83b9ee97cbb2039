import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper

from app.engine.raw_memory import from_ortvalue, pack, to_ortvalue, unpack
from app.engine.tensors import (
    BY_CODE,
    BY_DTYPE,
    BY_NAME,
    BY_OIP,
    BY_ONNX,
    ELEMENT_TYPES,
    ElementType,
    element_of,
    find_element,
)

RAW = [element for element in ELEMENT_TYPES if not element.native]
NUMBERS = [element for element in ELEMENT_TYPES if not element.is_string]


@pytest.mark.parametrize("element", ELEMENT_TYPES, ids=lambda e: e.name)
def test_the_table_agrees_with_onnx(element: ElementType) -> None:
    assert helper.tensor_dtype_to_np_dtype(element.onnx_code) == element.dtype
    assert TensorProto.DataType.Name(element.onnx_code)


def test_no_two_types_share_a_name() -> None:
    for table in (BY_NAME, BY_ONNX, BY_CODE, BY_DTYPE):
        assert len(table) == len(ELEMENT_TYPES)
    assert BY_OIP["BF16"].dtype == ml_dtypes.bfloat16


def test_numpys_own_strings_are_strings() -> None:
    assert element_of(np.array(["a", "bc"])).name == "string"


def test_an_array_of_either_byte_order_has_its_element_type() -> None:
    assert element_of(np.zeros(2, ">f4")).name == "float32"


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]", "S3", "V4", "M8"])
def test_dtypes_no_tensor_has_are_refused(dtype: str) -> None:
    assert find_element(np.dtype(dtype)) is None
    with pytest.raises(TypeError, match="no tensor has elements"):
        element_of(np.zeros(1, dtype))


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (2, 3), (2, 0, 3), (4, 5)])
@pytest.mark.parametrize("element", RAW, ids=lambda e: e.name)
def test_raw_memory_comes_back_as_it_went_in(
    element: ElementType, shape: tuple[int, ...]
) -> None:
    bits = np.random.default_rng(7).integers(0, 2 ** min(element.bits, 8), (*shape, 2))
    if element.bits == 16:
        array = bits.astype(np.uint8).view(element.dtype).reshape(shape)
    else:
        array = bits[..., 0].astype(np.uint8).view(element.dtype)
    packed = pack(array, element)
    assert packed.nbytes == -(-array.size * element.bits // 8)
    back = unpack(packed, shape, element)
    assert back.dtype == element.dtype
    assert back.shape == shape
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize("element", NUMBERS, ids=lambda e: e.name)
def test_every_number_goes_through_an_ortvalue(element: ElementType) -> None:
    array = np.array([[0, 1, 1], [1, 0, 1]]).astype(element.dtype)[:, ::2]
    value = to_ortvalue(array, element)
    assert value.element_type() == element.onnx_code
    back = from_ortvalue(value)
    assert back.dtype == array.dtype
    assert back.tobytes() == array.tobytes()


def test_small_elements_fill_a_byte_from_its_low_bits() -> None:
    array = np.array([-2, -1, 0, 1, 3]).astype(ml_dtypes.int4)
    assert pack(array, BY_NAME["int4"]).tobytes() == b"\xfe\x10\x03"
