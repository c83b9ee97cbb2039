"""A loaded model and how it runs."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import onnxruntime as ort

from app.engine.alarm import Alarm
from app.engine.batch_gains import BatchGains
from app.engine.dispatch import RunCosts
from app.engine.feeds import feed, feed_as_ortvalue, is_raw, needs_feeding, read
from app.engine.options import LOG_FATAL_ONLY
from app.engine.providers import CPU
from app.engine.runtime_errors import ORT_ERRORS, clean_message, is_out_of_memory
from app.engine.signature import Signature, TensorType, ValueSpec, parse_type
from app.engine.solo import Solo
from app.engine.values import Tensors, Value
from app.errors import (
    InferenceFailed,
    InferenceTimeout,
    InvalidInput,
    InvalidModel,
    MLForgeError,
    Unavailable,
)


class Stop:
    """Ends one run between two nodes of the graph. May be set from any thread."""

    __slots__ = ("options", "requested")

    def __init__(self) -> None:
        self.options = ort.RunOptions()
        self.options.log_severity_level = LOG_FATAL_ONLY
        self.requested = False

    def set(self) -> None:
        self.requested = True
        self.options.terminate = True


@dataclass(frozen=True, slots=True)
class Execution:
    """By which providers a session runs, the preferred one first, and on how many
    threads: each of several runs, and one that is alone."""

    providers: tuple[str, ...]
    threads: int
    threads_alone: int


class Session:
    """A loaded model. Runs may go on in many threads at the same time."""

    def __init__(
        self,
        session: ort.InferenceSession,
        *,
        threads: int = 1,
        providers: tuple[str, ...] = (CPU,),
        solo: Solo | None = None,
    ) -> None:
        self._threads = threads
        self._providers = providers
        self._solo = solo
        self.signature = signature = _signature_of(session)
        self.costs = RunCosts()
        self.gains = BatchGains()
        self._outer = session
        # A copy of the file, kept to start over with other providers: never done here.
        session._model_bytes = None
        # The object inside takes the same call without the Python checks around
        # it, which are a fifth of a small model's run.
        self._session = session._sess
        self._names = [spec.name for spec in signature.outputs]
        self._raw_names = frozenset(
            spec.name for spec in signature.outputs if is_raw(spec.type)
        )
        self._must_feed = any(needs_feeding(spec.type) for spec in signature.inputs)

    @property
    def execution(self) -> Execution:
        solo = self._solo
        alone = self._threads if solo is None else solo.threads
        return Execution(self._providers, self._threads, alone)

    def run(
        self,
        inputs: Tensors,
        outputs: Sequence[str] | None,
        *,
        deadline: float | None = None,
        alarm: Alarm | None = None,
    ) -> dict[str, Value]:
        """The outputs named, or all of them, by name. Blocks.

        `inputs` must have passed `check_inputs`. `deadline` is an instant of
        `time.monotonic()`; a run still going then is stopped: InferenceTimeout.
        Without an `alarm` that takes a thread of its own.
        """
        if deadline is None:
            return self.run_stoppable(inputs, outputs, None)
        stop = Stop()
        limit_s = max(deadline - time.monotonic(), 0.0)
        with ExitStack() as stack:
            alarm = alarm or stack.enter_context(Alarm())
            stack.enter_context(alarm.armed(stop, deadline))
            try:
                return self.run_stoppable(inputs, outputs, stop)
            except MLForgeError as error:
                if stop.requested:
                    raise timed_out(limit_s) from error
                raise

    def run_stoppable(
        self, inputs: Tensors, outputs: Sequence[str] | None, stop: Stop | None
    ) -> dict[str, Value]:
        """As `run`; once `stop` is set it raises InferenceFailed."""
        names = self._names if outputs is None else list(outputs)
        options = None if stop is None else stop.options
        try:
            if self._raw_names and not self._raw_names.isdisjoint(names):
                return self._run_raw(names, inputs, options)
            return self._run_plain(names, inputs, options)
        except ORT_ERRORS as error:
            raise _explain(error) from error

    def run_on_thread(
        self, inputs: Tensors, outputs: Sequence[str] | None, stop: Stop | None
    ) -> dict[str, Value]:
        """As `run_stoppable`; of a model whose runs take long, with all the process's
        threads while no other run is going on."""
        if self._solo is None:
            return self.run_stoppable(inputs, outputs, stop)
        return self._solo.run(self, inputs, outputs, stop)

    def _run_plain(
        self, names: list[str], inputs: Tensors, options: Any
    ) -> dict[str, Value]:
        feeds: Mapping[str, Any] = inputs
        if self._must_feed:
            specs = self.signature.inputs_by_name
            feeds = {name: feed(specs[name], inputs[name]) for name in inputs}
        elif type(inputs) is not dict:
            feeds = dict(inputs)
        try:
            results = self._session.run(names, feeds, options)
            return dict(zip(names, results, strict=True))
        except UnicodeDecodeError:
            # Strings that are not UTF-8 only come out of a run that gives OrtValues.
            return self._run_raw(names, inputs, options)

    def _run_raw(
        self, names: list[str], inputs: Tensors, options: Any
    ) -> dict[str, Value]:
        specs = self.signature.inputs_by_name
        feeds = {name: feed_as_ortvalue(specs[name], inputs[name]) for name in inputs}
        results = self._outer.run_with_ort_values(names, feeds, options)
        return dict(zip(names, map(read, results), strict=True))


def timed_out(limit_s: float) -> InferenceTimeout:
    shown = round(limit_s, 2 if limit_s < 1 else 1)
    return InferenceTimeout(
        f"the inference ran past its limit of {shown:g} s and was stopped"
    )


def _signature_of(session: Any) -> Signature:
    return Signature(
        tuple(map(_spec_of, session.get_inputs())),
        tuple(map(_spec_of, session.get_outputs())),
    )


def _spec_of(node: Any) -> ValueSpec:
    try:
        value_type = parse_type(node.type)
    except ValueError as error:
        raise InvalidModel(f'"{node.name}": {error}') from None
    # ONNX Runtime gives the same empty list for a scalar and for an unknown rank,
    # and checks neither.
    is_ranked = isinstance(value_type, TensorType) and node.shape
    return ValueSpec(node.name, value_type, tuple(node.shape) if is_ranked else None)


def _explain(error: Exception) -> MLForgeError:
    if isinstance(error, UnicodeEncodeError):
        return InvalidInput(
            "a string holds half of a surrogate pair, which is no Unicode text"
        )
    if is_out_of_memory(error):
        return Unavailable("there is not enough memory to run this input")
    return InferenceFailed(
        f"ONNX Runtime could not run this input: {clean_message(str(error))}"
    )
