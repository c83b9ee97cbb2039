"""Whether the audit log is what was written: a chain without a gap or a change."""

from collections.abc import Iterable
from dataclasses import dataclass

from app.kit.chain import GENESIS
from app.models.audit_entry import AuditEntry
from app.services.audit import AuditLog


@dataclass(frozen=True, slots=True)
class Verdict:
    """`fault` says where the chain breaks first; None where it does not."""

    entries: int
    head: str
    fault: str | None = None


class ChainCheck:
    """Takes the entries in their order. `known_head` was the last hash once, and was
    kept elsewhere: it has to be in the chain still."""

    def __init__(self, known_head: str | None = None) -> None:
        self._known_head = known_head
        self._seen = known_head is None or known_head == GENESIS
        self._entries = 0
        self._head = GENESIS

    def find_fault(self, entries: Iterable[AuditEntry]) -> str | None:
        for entry in entries:
            fault = self._fault_of(entry)
            if fault is not None:
                return fault
            self._entries += 1
            self._head = entry.hash
            self._seen = self._seen or entry.hash == self._known_head
        return None

    def verdict(self, fault: str | None = None) -> Verdict:
        """After the last entry, or the first fault."""
        if fault is None and not self._seen:
            fault = (
                f"the hash {self._known_head} is in no entry: entries at the end are "
                "missing, or the log was written anew"
            )
        return Verdict(self._entries, self._head, fault)

    def _fault_of(self, entry: AuditEntry) -> str | None:
        expected = self._entries + 1
        if entry.seq != expected:
            what = f"entry {expected} is missing"
            if entry.seq > expected + 1:
                what = f"entries {expected} to {entry.seq - 1} are missing"
            return f"{what} before entry {entry.seq}"
        if entry.previous != self._head:
            return (
                f"entry {entry.seq} follows another entry than the one before it: that "
                "was changed, or this"
            )
        if entry.linked() != entry.hash:
            return (
                f"entry {entry.seq} was changed: its hash is not that of what it holds"
            )
        return None


async def verify(log: AuditLog, known_head: str | None = None) -> Verdict:
    check = ChainCheck(known_head)
    async for entries in log.portions():
        fault = check.find_fault(entries)
        if fault is not None:
            return check.verdict(fault)
    return check.verdict()
