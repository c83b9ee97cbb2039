"""How one version is run, where that is not left to the server."""

from dataclasses import dataclass
from typing import Literal

Batching = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """`model_metadata.serving` of a version; None leaves it to the server.

    `pinned` keeps the session loaded whatever the memory budget; `threads` is how many
    one run uses; `queue_limit` how many runs may wait; `timeout_s` how long one may
    take; `providers` are ONNX Runtime's execution providers, the preferred one first.
    """

    batching: Batching = "auto"
    pinned: bool = False
    threads: int | None = None
    queue_limit: int | None = None
    timeout_s: float | None = None
    providers: tuple[str, ...] | None = None

    @property
    def loading_key(self) -> str:
        """Differs where sessions of the same files have to differ; empty by default."""
        if self.threads is None and self.providers is None:
            return ""
        return f" threads={self.threads} providers={self.providers}"


DEFAULT_SETTINGS = ServingSettings()
