"""Python itself, set for a server."""

import gc
import sys

# Requests leave few cycles behind. The first generation is looked through after so many
# objects more than were freed; each next one after so many looks at the one before.
_THRESHOLDS = (20_000, 20, 50)
# How long a busy thread keeps Python's lock from one that waits: 5 ms by default, which
# each run of a model on the event loop would wait while a large body is read beside it.
_SWITCH_S = 0.0005


def settle() -> None:
    """Takes all there is now for permanent; to be called when all is built.

    A full look through what was imported and built alone takes 0.1 s.
    """
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
