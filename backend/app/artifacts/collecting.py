"""Garbage collection: artifacts that nothing refers to, taken out in two steps."""

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from app.artifacts.claims import Claim
from app.artifacts.disk import in_thread, remove_tree, sync_directory
from app.artifacts.layout import Layout


async def collect(
    layout: Layout, referenced: Callable[[], Awaitable[set[str]]], grace_s: float
) -> set[str]:
    """Sets stale artifacts aside, asks again, and puts back what is wanted after all.

    Whatever goes wrong in between puts everything back.
    """
    keep = await referenced()
    stale = await in_thread(lambda: _list_stale(layout, keep, grace_s))
    if not stale:
        return set()
    claim = await in_thread(lambda: Claim.new(layout.staging))
    doomed: set[str] = set()
    try:
        await in_thread(lambda: set_aside(layout, stale, claim.directory, grace_s))
        doomed = set(stale) - await referenced()
    finally:
        removed = await in_thread(lambda: _finish(layout, claim, doomed))
    return removed


def _list_stale(layout: Layout, keep: set[str], grace_s: float) -> list[str]:
    return [
        digest
        for digest in layout.digests()
        if digest not in keep and _is_stale(layout.place(digest), grace_s)
    ]


def _is_stale(place: Path, grace_s: float) -> bool:
    try:
        return time.time() - place.lstat().st_mtime > grace_s
    except FileNotFoundError:
        return False


def set_aside(layout: Layout, stale: list[str], aside: Path, grace_s: float) -> None:
    """Moves those of `stale` that are stale still."""
    aside.mkdir(mode=0o750)
    for digest in stale:
        with layout.locked(digest) as place:
            # A commit of the same content may have renewed it since.
            if _is_stale(place, grace_s):
                place.rename(aside / digest)


def _finish(layout: Layout, claim: Claim, doomed: set[str]) -> set[str]:
    aside = claim.directory
    names = set(os.listdir(aside)) if aside.is_dir() else set()
    for digest in names - doomed:
        _put_back(layout, digest, aside / digest)
    claim.release()
    return names & doomed


def _put_back(layout: Layout, digest: str, kept: Path) -> None:
    with layout.locked(digest) as place:
        if place.exists():
            remove_tree(kept)
        else:
            kept.rename(place)
            sync_directory(place.parent)
