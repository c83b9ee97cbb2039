"""What the tests of the store write, and how they look at the disk."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from app.artifacts.store import MODEL_FILE, Artifact, ArtifactStore


async def chunks_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def commit_files(store: ArtifactStore, **files: bytes) -> Artifact:
    """Keywords are names with `_` for `.`; `model_onnx` is the graph."""
    async with store.stage() as staging:
        for name, content in files.items():
            await staging.add(name.replace("_", "."), chunks_of(content))
        return await store.commit(staging)


async def commit_model(store: ArtifactStore, content: bytes) -> Artifact:
    async with store.stage() as staging:
        await staging.add(MODEL_FILE, chunks_of(content))
        return await store.commit(staging)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
