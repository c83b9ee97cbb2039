from typing import Any

import pytest

from app.errors import InvalidField
from app.services.metadata import check_metadata
from app.services.serving_settings import serving_settings
from app.serving.settings import DEFAULT_SETTINGS, ServingSettings


def test_without_the_key_the_server_decides() -> None:
    assert serving_settings({"note": 1}) is DEFAULT_SETTINGS


def test_every_field_is_read() -> None:
    given = {
        "batching": "off",
        "pinned": True,
        "threads": 2,
        "queue_limit": 0,
        "timeout_s": 1.5,
        "providers": ["CPUExecutionProvider"],
    }
    assert serving_settings({"serving": given}) == ServingSettings(
        batching="off",
        pinned=True,
        threads=2,
        queue_limit=0,
        timeout_s=1.5,
        providers=("CPUExecutionProvider",),
    )


@pytest.mark.parametrize(
    ("given", "loc", "hint"),
    [
        ([], "model_metadata.serving", "must be an object"),
        ({"thread": 1}, "model_metadata.serving.thread", "it has batching"),
        ({"batching": "yes"}, "model_metadata.serving.batching", '"auto", "on", "off"'),
        ({"pinned": 1}, "model_metadata.serving.pinned", "true or false"),
        ({"threads": 0}, "model_metadata.serving.threads", "1 to 1024"),
        ({"threads": True}, "model_metadata.serving.threads", "1 to 1024"),
        ({"queue_limit": -1}, "model_metadata.serving.queue_limit", "0 to 100000"),
        ({"timeout_s": 0}, "model_metadata.serving.timeout_s", "above 0"),
        ({"timeout_s": "1"}, "model_metadata.serving.timeout_s", "above 0"),
        ({"providers": []}, "model_metadata.serving.providers", "a list of names"),
        ({"providers": [1]}, "model_metadata.serving.providers", "a list of names"),
        (
            {"providers": ["cuda"]},
            "model_metadata.serving.providers",
            "onnxruntime-gpu",
        ),
        ({"providers": ["gpu"]}, "model_metadata.serving.providers", "cpu, cuda"),
    ],
)
def test_what_is_wrong_is_named(given: Any, loc: str, hint: str) -> None:
    with pytest.raises(InvalidField) as caught:
        check_metadata("model_metadata", {"serving": given})
    assert caught.value.errors[0].loc == loc
    assert hint in caught.value.detail


def test_providers_stored_by_a_server_that_has_them_are_read_by_one_that_has_not() -> (
    None
):
    settings = serving_settings({"serving": {"providers": ["cuda"]}})
    assert settings.providers == ("cuda",)
