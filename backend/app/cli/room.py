"""How many connections a process keeps, so that files and models can still be opened."""

import resource
from typing import Final

# For model files, the database, Redis, children and gRPC.
RESERVED_FILES: Final = 256
# Each costs memory too: some 20 KB while nothing is under way.
MOST: Final = 16_384


def most_connections() -> int:
    """What the limit of open files leaves: half of a small one, else all but a reserve."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MOST
    return min(MOST, files - min(RESERVED_FILES, files // 2))
