"""What an artifact is, and what a store of artifacts promises."""

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from app.errors import InvalidField, NotFound

MODEL_FILE = "model.onnx"
MAX_COMPANIONS = 16
COMPANION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """The files of one upload. `files[0]` is the graph, then companions by name.

    `digest` names the content: the graph's SHA-256 when it is alone, else the
    SHA-256 of a list of all names and hashes.
    """

    digest: str
    files: tuple[ArtifactFile, ...]

    @classmethod
    def of(cls, files: Iterable[ArtifactFile]) -> Self:
        ordered = sorted(files, key=lambda file: (file.name != MODEL_FILE, file.name))
        if not ordered or ordered[0].name != MODEL_FILE:
            raise ValueError(f"an artifact needs a file {MODEL_FILE}")
        return cls(_digest(ordered), tuple(ordered))

    @property
    def model(self) -> ArtifactFile:
        return self.files[0]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    def get(self, name: str) -> ArtifactFile:
        for file in self.files:
            if file.name == name:
                return file
        names = ", ".join(file.name for file in self.files)
        raise NotFound(
            f"This version has no file {name[:200]!r}: its files are {names}."
        )


def _digest(files: list[ArtifactFile]) -> str:
    if len(files) == 1:
        return files[0].sha256
    lines = "".join(f"{file.sha256} {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode("ascii")).hexdigest()


def check_companion_name(name: str) -> None:
    """Raises InvalidField unless `name` is safe as a file beside the graph."""
    if not COMPANION_NAME.fullmatch(name):
        raise InvalidField(
            f"The companion file is named {name[:200]!r}; wanted is a name of 1 to 128 "
            "letters, digits, '.', '_' and '-' that begins with a letter or digit: "
            "export the model again under such a name."
        )
    if name == MODEL_FILE:
        raise InvalidField(
            f"A companion file may not be named {MODEL_FILE!r}: send the graph as "
            "`file` and its data under the name the graph gives it."
        )


class Staging(Protocol):
    """A private folder for files that arrive; gone on exit unless committed.

    Use it as an async context manager; `directory` exists only inside.
    `placed_ns` is the store's mark of a folder that its commit put in place.
    """

    placed_ns: int | None

    @property
    def directory(self) -> Path: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def add(self, name: str, chunks: AsyncIterator[bytes]) -> ArtifactFile:
        """Streams `chunks` to disk and hashes them on the way.

        Raises InvalidField on a bad or repeated name and InsufficientStorage
        when the disk is full.
        """

    async def rename(self, name: str, new_name: str) -> ArtifactFile: ...

    def artifact(self) -> Artifact:
        """What was added so far; needs a file named MODEL_FILE."""


class ArtifactStore(Protocol):
    """Content-addressed, immutable artifacts."""

    def stage(self) -> Staging: ...

    async def commit(self, staging: Staging) -> Artifact:
        """Makes the staged files durable and visible, or reuses equal ones.

        The artifact is safe from `collect` for its grace from now on.
        """

    async def open(self, artifact: Artifact) -> Path:
        """The folder of the files, each proved to match its size and SHA-256.

        Raises ArtifactCorrupt if one is missing or changed.
        """

    def prove(self, artifact: Artifact) -> None:
        """As `open`, that the files are still what they were. Blocks."""

    async def path(self, artifact: Artifact, name: str) -> Path:
        """One file, for downloads, proved to match its size and SHA-256.

        Raises NotFound if the artifact has no such file, ArtifactCorrupt if it
        should have.
        """

    async def take_back(
        self, staging: Staging, referenced: Callable[[], Awaitable[set[str]]]
    ) -> None:
        """Undoes the commit of `staging`, unless somebody else has committed the
        same content or `referenced` names it."""

    async def collect(
        self, referenced: Callable[[], Awaitable[set[str]]], *, grace_s: float
    ) -> set[str]:
        """Removes artifacts that `referenced` does not name and that nobody
        committed in the last `grace_s` seconds; gives their digests."""

    async def sweep_staging(self) -> int:
        """Removes what dead processes left half-uploaded; gives how many."""
