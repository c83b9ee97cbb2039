"""ONNX Runtime's execution providers: which it offers here, and which run a model."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import onnxruntime as ort

CPU: Final = "CPUExecutionProvider"


class _Provider(NamedTuple):
    name: str
    package: str


# By the names that settings use. ONNX Runtime's own names are taken as well.
_PROVIDERS: Final = {
    "cpu": _Provider(CPU, "onnxruntime"),
    "cuda": _Provider("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": _Provider("TensorrtExecutionProvider", "onnxruntime-gpu"),
    "openvino": _Provider("OpenVINOExecutionProvider", "onnxruntime-openvino"),
    "migraphx": _Provider("MIGraphXExecutionProvider", "onnxruntime-migraphx"),
    "dml": _Provider("DmlExecutionProvider", "onnxruntime-directml"),
    "coreml": _Provider("CoreMLExecutionProvider", "onnxruntime on macOS"),
}
_SHORT: Final = {provider.name: short for short, provider in _PROVIDERS.items()}


class BadProvider(ValueError):
    """A provider that is not known, or that the installed runtime does not offer."""


def checked_providers(given: Iterable[str]) -> tuple[str, ...]:
    """ONNX Runtime's names of them, the CPU's always among them.

    BadProvider for one that can't be had here.
    """
    names = [_full_name(word) for word in given]
    for name in names:
        if name not in ort.get_available_providers():
            raise BadProvider(_not_offered(name))
    return _with_cpu(names)


def offered_providers(given: Iterable[str]) -> tuple[str, ...]:
    """As `checked_providers`, without those that can't be had here."""
    offered = ort.get_available_providers()
    names = [_PROVIDERS[word].name if word in _PROVIDERS else word for word in given]
    return _with_cpu([name for name in names if name in offered])


def running_providers(session: Any, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `wanted` that run at least one node of the session's model.

    The session must have been told to record it, unless the CPU alone is wanted.
    """
    if wanted == (CPU,):
        return wanted
    # A provider that could not start, or takes no node, is listed by get_providers()
    # or not; what counts is where the nodes went.
    assigned = {part.ep_name for part in session.get_provider_graph_assignment_info()}
    return tuple(name for name in wanted if name in assigned) or (CPU,)


def short_name(name: str) -> str:
    return _SHORT.get(name, name)


def _with_cpu(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*names, CPU)))


def _full_name(word: str) -> str:
    if word in _PROVIDERS:
        return _PROVIDERS[word].name
    if word in ort.get_all_providers():
        return word
    raise BadProvider(
        f'"{word[:100]}" is no execution provider: choose of '
        f"{', '.join(_PROVIDERS)}; the installed ONNX Runtime offers {_offered()}"
    )


def _not_offered(name: str) -> str:
    short = short_name(name)
    package = (
        _PROVIDERS[short].package if short in _PROVIDERS else "a build that has it"
    )
    return (
        f'"{short}" can\'t be had: the installed ONNX Runtime {ort.__version__} offers '
        f"{_offered()}; install {package} in place of onnxruntime, or choose another"
    )


def _offered() -> str:
    return ", ".join(map(short_name, reversed(ort.get_available_providers())))
