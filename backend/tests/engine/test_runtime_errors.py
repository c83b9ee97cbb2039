from pathlib import Path

import pytest

from app.engine.runtime_errors import clean_message


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (
            "[ONNXRuntimeError] : 10 : INVALID_GRAPH : This is an invalid model. Bad",
            "This is an invalid model. Bad",
        ),
        (
            "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while "
            "running Add node. Name:'/encoder/Add' Status Message: "
            "/onnxruntime_src/onnxruntime/core/providers/cpu/math/element_wise_ops.h:"
            "564 void onnxruntime::BroadcastIterator::Append(ptrdiff_t, ptrdiff_t) "
            "axis == 1 || axis == largest was false.",
            'node "/encoder/Add" (Add): axis == 1 || axis == largest was false.',
        ),
        (
            "/onnxruntime_src/include/onnxruntime/core/framework/op_kernel_context.h:45 "
            "const T* onnxruntime::OpKernelContext::Input(int) const "
            "[with T = onnxruntime::Tensor] Missing Input: x\n\nStacktrace:\n #1 0xdead",
            "Missing Input: x",
        ),
        (
            "tensorprotoutils.cc:619 ValidatePath External data path does not exist",
            "External data path does not exist",
        ),
        (
            "Load model from /srv/mlforge/artifacts/ab/model.onnx failed:no",
            "Load model from model.onnx failed:no",
        ),
        ('cannot open "/home/me/x.onnx"', 'cannot open "(path)"'),
    ],
)
def test_a_message_keeps_the_reason_and_loses_the_rest(text: str, cleaned: str) -> None:
    assert clean_message(text, Path("/srv/mlforge/artifacts/ab")) == cleaned


def test_a_long_message_is_cut() -> None:
    assert len(clean_message("word " * 1000)) == 600
