"""The exported models in tests/data/exports are whole and run on their samples."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, RuntimeException

import app
from tests.exports import FOLDER, Export, load_export, load_exports

EXAMPLE = Path(app.__file__).parent / "cli" / "example"

every_export = pytest.mark.parametrize("export", load_exports(), ids=str)


@every_export
def test_export_runs_on_its_samples(export: Export) -> None:
    answers = export.direct_run()

    rows = {len(array) for array in export.inputs.values()}
    assert len(rows) == 1
    assert 3 <= rows.pop() <= 5
    assert list(answers) == list(export.info.outputs)


@every_export
def test_export_declares_what_its_record_says(export: Export) -> None:
    session = export.session()

    assert {item.name for item in session.get_inputs()} == set(export.inputs)
    found = {item.name: item.type for item in session.get_outputs()}
    assert found == export.info.outputs


@every_export
def test_one_row_gives_the_same_as_all_rows_at_once(export: Export) -> None:
    whole = export.direct_run()
    first = export.direct_run({name: a[:1] for name, a in export.inputs.items()})

    for name, kind in export.info.outputs.items():
        if kind.startswith("tensor(float"):
            np.testing.assert_allclose(whole[name][:1], first[name], rtol=1e-4)
        elif kind.startswith("tensor("):
            np.testing.assert_array_equal(whole[name][:1], first[name])


@every_export
def test_file_names_no_path_of_the_machine_that_made_it(export: Export) -> None:
    for path in (export.path, *export.companions):
        assert not re.findall(rb"/(?:tmp|home|root)/|site-packages", path.read_bytes())


def test_every_model_file_has_a_record_and_the_folder_is_small() -> None:
    exports = load_exports()
    files = [path for path in FOLDER.iterdir() if path.suffix in {".onnx", ".data"}]

    assert set(files) == {
        path for export in exports for path in (export.path, *export.companions)
    }
    assert max(path.stat().st_size for path in files) < 200_000
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_500_000


def test_rows_carry_the_samples_by_name() -> None:
    rows = load_export("sklearn_diabetes_mixed_columns").rows()

    assert rows[0]["sex"] == "sex_2"
    assert rows[0]["age"] == 59
    assert list(load_export("xgboost_18_features").rows()[0])[:2] == ["f0", "f1"]
    assert load_export("torch_digits_convnet").rows() == []


def test_xgboost_model_has_the_names_its_consumer_reads() -> None:
    session = load_export("xgboost_18_features").session()

    (only,) = session.get_inputs()
    assert (only.name, only.type, only.shape[1:]) == ("input", "tensor(float)", [18])
    assert not isinstance(only.shape[0], int)
    assert [item.name for item in session.get_outputs()] == ["label", "probabilities"]


def test_two_file_model_needs_its_second_file(tmp_path: Path) -> None:
    export = load_export("torch_digits_two_files")
    model = onnx.load(export.path, load_external_data=False)
    external = [
        entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    ]
    assert {path.name for path in export.companions} == set(external)

    alone = shutil.copy(export.path, tmp_path)
    with pytest.raises((Fail, RuntimeException), match=r"\.onnx\.data"):
        onnxruntime.InferenceSession(alone, providers=["CPUExecutionProvider"])


def test_example_model_names_the_wine_of_its_sample() -> None:
    record = json.loads((EXAMPLE / "wine.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(
        str(EXAMPLE / "wine.onnx"), providers=["CPUExecutionProvider"]
    )
    metadata = session.get_modelmeta().custom_metadata_map
    names = json.loads(metadata["feature_names"])
    features = record["sample"]["features"]

    row = np.array([[features[name] for name in names]], dtype=np.float32)
    label, probabilities = session.run(["label", "probabilities"], {"features": row})

    assert set(features) == set(names)
    assert label.tolist() == [record["true_label"]]
    assert max(probabilities[0], key=probabilities[0].get) == record["true_label"]
    assert sum(probabilities[0].values()) == pytest.approx(1)
