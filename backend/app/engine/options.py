"""How every ONNX Runtime session of MLForge is set up."""

from typing import Any

import onnxruntime as ort

# A constant that folding makes larger than both this and the files stays unfolded:
# without a bound a tiny file makes loading allocate gigabytes, while real models
# fold their own weights.
_FOLDED_BYTES = 4 * 1024 * 1024
LOG_FATAL_ONLY = 4


def session_options(
    *, threads: int, size_bytes: int = 0, optimised: bool = True
) -> Any:
    """Options for one model on `threads` threads whose files have `size_bytes`."""
    options = ort.SessionOptions()
    if not optimised:
        level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    options.log_severity_level = LOG_FATAL_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(
        "optimization.constant_folding_max_output_size_in_bytes",
        str(max(_FOLDED_BYTES, size_bytes)),
    )
    return options
