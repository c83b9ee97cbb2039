"""The calls of a known consumer, as it makes them, against a served process.

It sends no key, no name and no version, and always the same file name.
"""

from typing import Any

import httpx
import pytest

from tests.conftest import StartServer
from tests.exports import load_export
from tests.live import LiveServer

FEATURES = [f"f{i}" for i in range(14)] + [f"curve[{i}]" for i in range(4)]


@pytest.fixture
def model() -> bytes:
    return load_export("xgboost_18_features").path.read_bytes()


def deploy(client: httpx.Client, model: bytes) -> str:
    upload = client.post(
        "/api/v1/models/upload",
        files={"model": ("model.onnx", model, "application/octet-stream")},
    )
    assert upload.status_code in {200, 201}
    model_id: str = upload.json()["model_id"]
    registered = client.post(
        f"/api/v1/models/{model_id}/register",
        json={
            "feature_names": FEATURES,
            "metrics": {"auc": 0.91},
            "model_config": {"max_depth": 4},
        },
    )
    assert registered.status_code == 200
    return model_id


def test_it_works_where_all_others_need_a_key(
    start_server: StartServer, model: bytes
) -> None:
    server = start_server(auth="on", anonymous_scopes="predict,write")
    with httpx.Client(base_url=server.url, timeout=30) as client:
        deploy(client, model)
        score = client.post("/api/v1/score", json={"features": deck(0.5)})
        assert score.status_code == 200
        assert "score" in score.json()
        scores = client.post("/api/v1/score/batch", json={"decks": [deck(0.5)]})
        assert len(scores.json()["scores"]) == 1
        assert client.get("/api/v1/keys").status_code == 401


def deck(first: float) -> dict[str, Any]:
    """Numbers, a boolean, a string and a list, as a deck's features come."""
    row: dict[str, Any] = {f"f{i}": first + i / 8 for i in range(13)}
    return row | {"f13": True, "archetype": "control", "curve": [0.5, 1, 2, 3]}


def test_deploy_score_and_deploy_again(live_server: LiveServer, model: bytes) -> None:
    with httpx.Client(base_url=live_server.url, timeout=30) as client:
        assert client.get("/health").status_code == 200
        first_id = deploy(client, model)
        single = client.post("/api/v1/score", json={"features": deck(0.25)})
        assert single.status_code == 200, single.text
        assert 0 <= single.json()["score"] <= 1
        assert 0.5 <= single.json()["confidence"] <= 1
        assert single.json()["model_id"] == first_id
        decks = [deck(n / 4) for n in range(9)]
        batch = client.post("/api/v1/score/batch", json={"decks": decks})
        scores = [row["score"] for row in batch.json()["scores"]]
        alone = [
            client.post("/api/v1/score", json={"features": one}).json()["score"]
            for one in decks
        ]
        assert scores == pytest.approx(alone, abs=1e-6)
        assert len(set(scores)) > 1
        missing = client.post("/api/v1/score", json={"features": {"f0": 1}})
        assert missing.status_code == 400
        assert "curve[3]" in missing.json()["detail"]
        metadata = client.get(f"/api/v1/models/{first_id}").json()["model_metadata"]
        assert metadata == {"metrics": {"auc": 0.91}, "model_config": {"max_depth": 4}}


def test_another_file_of_the_same_name_is_a_new_version(
    live_server: LiveServer, model: bytes
) -> None:
    other = load_export("lightgbm_iris").path.read_bytes()
    with httpx.Client(base_url=live_server.url, timeout=30) as client:
        versions = []
        for content in (model, other, model):
            upload = client.post(
                "/api/v1/models/upload",
                files={"model": ("model.onnx", content, "application/octet-stream")},
            )
            versions.append((upload.status_code, upload.json()["version"]))
        assert versions == [(201, "1.0.0"), (201, "1.1.0"), (200, "1.0.0")]
