"""A session's first run, on inputs made up, before anyone waits for it."""

import time
from contextlib import suppress

import numpy as np

from app.engine.samples import ATTEMPTS, sample_inputs
from app.engine.session import Session
from app.errors import MLForgeError

# Longer is no warm-up but a wait for whoever asked for the model.
_LONGEST_S = 0.1


def warm_up(session: Session) -> bool:
    """Whether it ran on the smallest inputs; a model may well take only others."""
    random = np.random.default_rng(0)
    deadline = time.monotonic() + _LONGEST_S
    with suppress(MLForgeError, MemoryError):
        inputs = sample_inputs(session.signature, ATTEMPTS[0], random)
        session.run(inputs, None, deadline=deadline)
        return True
    return False
