import numpy as np
import orjson
import pytest

from bench.answers import NUMPY
from bench.payloads import HEAD_LENGTH, TEMPLATES, Array, payload

MODELS = ("tabular", "encoder")
FORMS = ("v1-json", "v2-json", "v2-binary", "inputs-json", "named-json")


def read(form: str, body: bytes) -> dict[str, Array]:
    """A body's tensors, read by words of our own."""
    if form == "v2-binary":
        return read_binary(body)
    document = orjson.loads(body)
    if form == "v2-json":
        return {
            tensor["name"]: np.array(tensor["data"], NUMPY[tensor["datatype"]]).reshape(
                tensor["shape"]
            )
            for tensor in document["inputs"]
        }
    wrappers = {"v1-json": "input_data", "inputs-json": "inputs"}
    named = document[wrappers[form]] if form in wrappers else document
    return {name: np.array(values) for name, values in named.items()}


def read_binary(body: bytes) -> dict[str, Array]:
    found, at = {}, HEAD_LENGTH
    for tensor in orjson.loads(body[:HEAD_LENGTH])["inputs"]:
        size = tensor["parameters"]["binary_data_size"]
        values = np.frombuffer(body[at : at + size], NUMPY[tensor["datatype"]])
        found[tensor["name"]] = values.reshape(tensor["shape"])
        at += size
    return found


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("form", FORMS)
def test_a_body_says_what_its_payload_claims(form: str, model: str) -> None:
    made = payload(form, model)
    for at in (0, 1, TEMPLATES, 1000 * TEMPLATES + 5, 70_001 * TEMPLATES):
        said = read(form, made.body(at))
        for name, array in made.inputs(at).items():
            np.testing.assert_allclose(said[name], array, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("form", FORMS)
def test_no_two_bodies_hold_the_same_inputs(form: str, model: str) -> None:
    made = payload(form, model)
    dtype = next(iter(made.inputs(0).values())).dtype
    seen = set()
    for at in range(0, 3000 * TEMPLATES, 7):
        tensors = list(read(form, made.body(at)).values())
        first = tensors[0].astype(dtype)
        seen.add((at % TEMPLATES, first.flat[0].tobytes()))
    assert len(seen) == len(range(0, 3000 * TEMPLATES, 7))


def test_templates_differ_beyond_their_slots() -> None:
    made = payload("v2-json", "tabular")
    assert len({template.tail for template in made.templates}) == TEMPLATES


def test_bodies_of_one_form_keep_their_length_while_they_count() -> None:
    made = payload("v1-json", "encoder")
    sizes = {len(made.body(turn * TEMPLATES)) for turn in range(500)}
    assert len(sizes) == 1
