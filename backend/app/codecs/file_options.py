"""What a body that is a file can't hold, and the caller says beside it."""

from dataclasses import dataclass

from app.codecs.base import Asked, Target
from app.codecs.features import Table
from app.errors import InvalidRequest, PayloadTooLarge


@dataclass(frozen=True, slots=True)
class FileOptions:
    """`limit_bytes` is the most that a body may hold once it is unpacked."""

    limit_bytes: int
    outputs: tuple[str, ...] | None = None
    skip_cache: bool = False

    def outputs_of(self, target: Target) -> tuple[str, ...] | None:
        known = target.signature.outputs_by_name
        for name in self.outputs or ():
            if name not in known:
                raise InvalidRequest(
                    f'outputs: the model has no output "{name}"; '
                    f"it has {', '.join(known)}."
                )
        if self.outputs and len(set(self.outputs)) != len(self.outputs):
            raise InvalidRequest("outputs names an output twice.")
        return self.outputs

    def asked(self, table: Table, rows: int, target: Target) -> Asked:
        return Asked(
            table.tensors,
            self.outputs_of(target),
            self.skip_cache,
            rows=rows,
            ignored=table.ignored,
        )


def too_large(what: str, limit_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"{what} unpacks to more than {limit_bytes / 2**20:.10g} MiB, the limit of "
        f"this call; send it in parts."
    )
