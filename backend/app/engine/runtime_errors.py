"""ONNX Runtime's exceptions, and its messages without what callers must not see."""

import re
from pathlib import Path

from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

# ONNX Runtime's own exceptions share no base class. The builtins come from its
# Python binding.
ORT_ERRORS: tuple[type[Exception], ...] = (
    ort_state.EPFail,
    ort_state.EngineError,
    ort_state.Fail,
    ort_state.InvalidArgument,
    ort_state.InvalidGraph,
    ort_state.InvalidProtobuf,
    ort_state.ModelLoadCanceled,
    ort_state.ModelLoaded,
    ort_state.ModelRequiresCompilation,
    ort_state.NoModel,
    ort_state.NoSuchFile,
    ort_state.NotFound,
    ort_state.NotImplemented,
    ort_state.RuntimeException,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)

_LONGEST_MESSAGE = 600
_PREFIX = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
_WHILE_RUNNING = re.compile(
    r"Non-zero status code returned while running (\S+) node\. "
    r"Name:'([^']*)' Status Message: "
)
# A source location and the signature of the C++ function there.
_SOURCE = re.compile(
    r"/\S+\.(?:cc|cpp|h|hpp):\d+ "
    r"(?:[^()]*\([^()]*(?:\([^()]*\)[^()]*)*\)(?: const)?(?: \[with [^\]]*\])? )?"
)
_SHORT_SOURCE = re.compile(r"\b\w+\.(?:cc|cpp|h|hpp):\d+ \w+ ")
_SERVER_PATH = re.compile(
    r"/(?:tmp|home|root|work|usr|var|opt|srv|mnt|data|app|build|onnxruntime_src)"
    r"/[^\s\"'),:]*"
)
_OUT_OF_MEMORY = re.compile(
    r"bad_alloc|Failed to allocate memory|Available memory of|cannot allocate memory",
    re.IGNORECASE,
)


def clean_message(text: str, directory: Path | None = None) -> str:
    """ONNX Runtime's words without prefixes, C++ locations and server paths.

    `directory` is the folder the model was loaded from.
    """
    text = text.partition("Stacktrace:")[0]
    if directory is not None:
        for folder in {str(directory), str(directory.resolve())}:
            text = text.replace(f"{folder}/", "").replace(folder, "the upload")
    text = _PREFIX.sub("", text)
    text = _WHILE_RUNNING.sub(_name_node, text)
    text = _SOURCE.sub("", text)
    text = _SHORT_SOURCE.sub("", text)
    text = _SERVER_PATH.sub("(path)", text)
    text = " ".join(text.split())
    if len(text) > _LONGEST_MESSAGE:
        text = text[: _LONGEST_MESSAGE - 1] + "…"
    return text


def is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or bool(_OUT_OF_MEMORY.search(str(error)))


def _name_node(found: re.Match[str]) -> str:
    operator, name = found.groups()
    return f'node "{name}" ({operator}): ' if name else f"node {operator}: "
