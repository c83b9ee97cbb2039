"""How a model is loaded: on how many threads, by which execution providers."""

from collections.abc import Callable
from dataclasses import dataclass

from app.engine.providers import CPU, offered_providers
from app.engine.solo import SoloCopies


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """`threads` are those of one run; with `copies`, a run that is alone may get all.

    `providers` are ONNX Runtime's names, the preferred one first, the CPU's among them.
    `prove` is called before the files are read once more: it raises if they changed.
    """

    threads: int = 1
    providers: tuple[str, ...] = (CPU,)
    copies: SoloCopies | None = None
    prove: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class SessionPlans:
    """The plans of a process that has `threads` for its runs."""

    threads: int = 1
    providers: tuple[str, ...] = (CPU,)
    copies: SoloCopies | None = None

    def plan(
        self, *, threads: int | None = None, providers: tuple[str, ...] | None = None
    ) -> SessionPlan:
        """For a version that wants these; None leaves it to the server.

        It gets no more threads than there are, and no provider that isn't offered.
        """
        chosen = self.providers if providers is None else offered_providers(providers)
        if threads is not None:
            return SessionPlan(min(threads, self.threads), chosen)
        return SessionPlan(1, chosen, self.copies if self.threads > 1 else None)
