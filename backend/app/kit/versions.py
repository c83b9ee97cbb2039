"""The one ordering of versions.

Versions that read as semantic versions order by semantic-version precedence
(1.0.0-beta < 1.0.0, rc.2 < rc.10) and stand above all others; the others order
by creation time. A leading `v` and a missing minor or patch are allowed: `v1.2`
reads as 1.2.0. Equals (`1.2` and `1.2.0`) order by creation time.
"""

from datetime import datetime

from semver import Version

VersionOrder = tuple[bool, Version, datetime, str]

FIRST_VERSION = "1.0.0"
_UNREAD = Version(0)


def read_version(text: str) -> Version | None:
    """`text` as a semantic version; None where it is none."""
    bare = text[1:] if text[:1] in ("v", "V") else text
    try:
        return Version.parse(bare, optional_minor_and_patch=True)
    except ValueError:
        return None


def version_order(text: str, created_at: datetime, tie: str = "") -> VersionOrder:
    """A sort key: the higher version is the greater. `tie` makes it total."""
    version = read_version(text)
    return (version is not None, version or _UNREAD, created_at, tie)


def next_version(taken: list[str]) -> str:
    """`1.0.0`, or the highest semantic version of `taken` plus one minor."""
    versions = [version for text in taken if (version := read_version(text))]
    return str(max(versions).bump_minor()) if versions else FIRST_VERSION
