"""A few of ONNX's cases, chosen to reach every kind of value, collected in a moment.

The generator's modules are imported one by one: all of them take seconds.
"""

from importlib import import_module
from typing import Final

from onnx.backend.test.case import node

from conformance.cases import FILE_KINDS, Case, collect_files, generated, quiet

# Cases by the module that makes them.
_NODE: Final = {
    "add": ("test_add_bcast", "test_add_uint8", "test_add_int16"),
    "bitshift": ("test_bitshift_left_uint64", "test_bitshift_right_uint16"),
    "cast": (
        "test_cast_BFLOAT16_to_FLOAT",
        "test_cast_FLOAT_to_BFLOAT16",
        "test_cast_FLOAT_to_FLOAT8E4M3FN",
        "test_cast_FLOAT8E5M2_to_FLOAT16",
        "test_cast_FLOAT_to_INT4",
        "test_cast_UINT4_to_FLOAT",
        "test_cast_e8m0_FLOAT_to_FLOAT8E8M0",
    ),
    "compress": ("test_compress_0",),
    "concat": ("test_concat_3d_axis_1",),
    "constantofshape": ("test_constantofshape_int_shape_zero",),
    "identity": ("test_identity_sequence", "test_identity_opt"),
    "if_": ("test_if_opt", "test_if_seq"),
    "isinf": ("test_isinf", "test_isinf_float16"),
    "isnan": ("test_isnan",),
    "log": ("test_log_example",),
    "loop": ("test_loop13_seq", "test_loop16_seq_none"),
    "matmulinteger": ("test_matmulinteger",),
    "max": ("test_max_float64", "test_max_int32"),
    "nonmaxsuppression": ("test_nonmaxsuppression_suppress_by_IOU",),
    "onehot": ("test_onehot_with_axis",),
    "reducel1": ("test_reduce_l1_empty_set",),
    "reducemax": ("test_reduce_max_bool_inputs",),
    "sequence_map": ("test_sequence_map_identity_1_sequence",),
    "sequenceinsert": ("test_sequence_insert_at_front",),
    "shape": ("test_shape",),
    "size": ("test_size",),
    "slice": ("test_slice_start_out_of_bounds",),
    "splittosequence": ("test_split_to_sequence_2",),
    "string_concat": ("test_string_concat_zero_dimensional",),
    "regex_full_match": ("test_regex_full_match_empty",),
    "string_split": ("test_string_split_empty_tensor",),
    "trilu": ("test_tril_zero",),
    "where": ("test_where_long_example",),
}
_FILES: Final = frozenset(
    {
        "test_sequence_model5",
        "test_single_relu_model",
        "test_Conv2d_dilated",
        "test_Conv2d_groups",
        "test_operator_permute2",
    }
)


def collect_sample() -> list[Case]:
    """In the same order each time."""
    with quiet():
        for module in _NODE:
            import_module(f"onnx.backend.test.case.node.{module}")
    wanted = {name for names in _NODE.values() for name in names}
    made = [generated(test) for test in node._NodeTestCases if test.name in wanted]
    kept = [case for kind in FILE_KINDS for case in collect_files(kind, _FILES)]
    return sorted([*made, *kept], key=lambda case: case.name)
