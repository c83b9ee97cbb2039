import itertools

import numpy as np
import pytest
from onnx import helper

from app.engine.alarm import Alarm
from app.engine.proofs import Prover
from app.engine.session import Session
from app.engine.signature import Signature
from app.engine.values import Value
from tests import graphs
from tests.engine.conftest import OpenModel


class ChosenInputs(Prover):
    """Made-up inputs fit the model `fit` times, and never after."""

    def __init__(self, session: Session, *, fit: int) -> None:
        super().__init__(session, session.signature, run_limit_s=60)
        self._fitting = itertools.chain([0] * fit, itertools.repeat(1))

    def _sample(self, sizes: object) -> dict[str, Value]:
        return {"i": np.array([next(self._fitting)])}


@pytest.mark.parametrize(
    ("fit", "deterministic", "batchable"),
    [(1, None, False), (2, True, False), (6, True, True)],
)
def test_a_run_that_fails_takes_no_other_verdict_along(
    open_model: OpenModel, fit: int, deterministic: bool | None, batchable: bool
) -> None:
    prover = ChosenInputs(open_model(graphs.lookup(1)), fit=fit)
    proofs = prover.prove((), prover.try_smallest(limit_s=60))
    assert proofs.trouble is None
    assert proofs.deterministic.holds is deterministic
    assert proofs.batchable.holds is batchable
    assert proofs.latency_ms is None


def test_a_model_without_inputs_is_proven_too(open_model: OpenModel) -> None:
    model = graphs.model_bytes(
        [helper.make_node("Identity", ["c"], ["y"])],
        [],
        [graphs.tensor("y", graphs.FLOAT, [1])],
        initializers={"c": np.ones(1, np.float32)},
    )
    session = open_model(model)
    assert session.signature == Signature((), session.signature.outputs)
    with Alarm() as alarm:
        prover = Prover(session, session.signature, run_limit_s=60, alarm=alarm)
        proofs = prover.prove((), prover.try_smallest(limit_s=60))
    assert proofs.deterministic.holds
    assert proofs.latency_ms is not None
