"""Makes sessions of a model's files, or of its bytes."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import onnxruntime as ort
import structlog
from typing_extensions import Buffer

from app.engine.options import session_options
from app.engine.plan import SessionPlan
from app.engine.providers import CPU, running_providers, short_name
from app.engine.runtime_errors import ORT_ERRORS, clean_message, is_out_of_memory
from app.engine.session import Session
from app.engine.solo import Solo, SoloCopies
from app.errors import InvalidModel, Unavailable

MODEL_FILE: Final = "model.onnx"
_ON_CPU: Final = (CPU,)

_log = structlog.get_logger(__name__)

Providers = tuple[str, ...]
MakeOptions = Callable[[], Any]


def load_session(directory: Path, plan: SessionPlan) -> Session:
    """The model in `directory`, which holds `model.onnx` and its companions. Blocks.

    InvalidModel with ONNX Runtime's reason, Unavailable where memory is short. Where
    a provider of the plan can't be used the CPU is, and the log says so.
    """
    stamps = _stamps(directory)
    size_bytes = sum(size for size, _ in stamps)
    copies, threads = plan.copies, plan.threads
    if copies is not None and not copies.can_hold(size_bytes):
        # Too large to be there twice: all its runs have all threads.
        threads, copies = copies.threads, None
    options = partial(session_options, threads=threads, size_bytes=size_bytes)
    model = str(directory / MODEL_FILE)
    session, providers = _open(model, options, plan.providers, directory)
    solo = None
    if copies is not None and providers == _ON_CPU:
        load_copy = partial(_load_copy, directory, stamps, copies, plan.prove)
        solo = Solo(copies, size_bytes, load_copy)
    return Session(session, threads=threads, providers=providers, solo=solo)


def load_from_memory(
    model: bytes,
    companions: Mapping[str, Buffer],
    *,
    threads: int,
    optimised: bool = True,
) -> Session:
    """As `load_session`, opening no file, on the CPU. Companions are copied.

    Not `optimised`: the graph is run as it is written.
    """
    lengths = [len(memoryview(data)) for data in companions.values()]
    size_bytes = len(model) + sum(lengths)

    def options() -> Any:
        made = session_options(
            threads=threads, size_bytes=size_bytes, optimised=optimised
        )
        if companions:
            made.add_external_initializers_from_files_in_memory(
                list(companions), list(companions.values()), lengths
            )
        return made

    return Session(_create(model, options(), _ON_CPU, None), threads=threads)


def _load_copy(
    directory: Path,
    stamps: list[tuple[int, int]],
    copies: SoloCopies,
    prove: Callable[[], None] | None,
) -> Session:
    if _stamps(directory) != stamps:
        raise InvalidModel("its files changed since it was loaded")
    if prove is not None:
        prove()
    return load_session(directory, SessionPlan(copies.threads))


def _stamps(directory: Path) -> list[tuple[int, int]]:
    """Sizes and times of the files: a cheap look, before they are proved again."""
    stats = [file.stat() for file in sorted(directory.iterdir())]
    return [(stat.st_size, stat.st_mtime_ns) for stat in stats]


def _open(
    model: str, options: MakeOptions, wanted: Providers, directory: Path
) -> tuple[ort.InferenceSession, Providers]:
    """A session, and the providers that run its nodes."""
    if wanted == _ON_CPU:
        return _create(model, options(), wanted, directory), wanted
    recording = options()
    recording.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    reason = "it runs no node of this model"
    try:
        session = _create(model, recording, wanted, directory)
        running = running_providers(session, wanted)
    except InvalidModel as error:
        reason = error.detail
        session, running = _create(model, options(), _ON_CPU, directory), _ON_CPU
    for name in wanted:
        if name not in running and name != CPU:
            _log.warning(
                "provider_not_used",
                provider=short_name(name),
                artifact=directory.name,
                reason=reason,
                runs_on=[short_name(name) for name in running],
            )
    return session, running


def _create(
    model: str | bytes, options: Any, providers: Providers, directory: Path | None
) -> ort.InferenceSession:
    try:
        # Its own fallback prints to stdout and hides why.
        return ort.InferenceSession(
            model, options, providers=list(providers), enable_fallback=0
        )
    except UnicodeDecodeError:
        raise InvalidModel(
            "ONNX Runtime cannot load this model, and its reason holds a name that is "
            "not UTF-8 text; export the model again"
        ) from None
    except ORT_ERRORS as error:
        if is_out_of_memory(error):
            raise Unavailable("there is not enough memory to load this model") from None
        reason = clean_message(str(error), directory)
        raise InvalidModel(f"ONNX Runtime cannot load this model: {reason}") from None
