import numpy as np
import onnxruntime
import pytest

from bench.model_graphs import conv, encoder, mlp, trees
from bench.payloads import payload

MAKERS = {
    "tabular": trees,
    "conv": conv,
    "encoder": encoder,
    "big100": lambda: mlp((64, 50, 50, 10)),
}


@pytest.mark.parametrize("name", list(MAKERS))
def test_the_models_run_on_their_inputs_and_tell_them_apart(name: str) -> None:
    session = onnxruntime.InferenceSession(
        MAKERS[name](), providers=["CPUExecutionProvider"]
    )
    made = payload("v2-json", name, batch=2)
    answers = [session.run(None, made.inputs(at))[-1] for at in (0, 1)]
    assert np.isfinite(answers).all()
    assert len(answers[0]) == 2
    assert not np.allclose(answers[0], answers[1])


def test_a_model_is_the_same_each_time() -> None:
    assert trees() == trees()
