"""Calls of the API that many tests make."""

from typing import Any

import httpx

API = "/api/v1"
ONNX = "application/octet-stream"


async def upload(
    client: httpx.AsyncClient,
    model: bytes,
    *,
    file_name: str = "model.onnx",
    companions: dict[str, bytes] | None = None,
    **form: str,
) -> dict[str, Any]:
    """Uploads a model that must be taken; gives its JSON."""
    files = [("file", (file_name, model, ONNX))]
    files += [("data", (n, d, ONNX)) for n, d in (companions or {}).items()]
    response = await client.post(f"{API}/models/upload", files=files, data=form)
    assert response.status_code in {200, 201}, response.text
    body: dict[str, Any] = response.json()
    return body


async def predict(
    client: httpx.AsyncClient, ref: str, body: dict[str, Any]
) -> httpx.Response:
    return await client.post(f"{API}/models/{ref}/predict", json=body)


async def predicted(
    client: httpx.AsyncClient, ref: str, body: dict[str, Any]
) -> dict[str, Any]:
    """The answer of a prediction that must succeed."""
    response = await predict(client, ref, body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def problem_of(response: httpx.Response, status: int, code: str) -> str:
    """The `detail` of an answer that must be this problem."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["code"] == code, body
    assert body["title"]
    assert body["request_id"] == response.headers["x-request-id"]
    detail: str = body["detail"]
    return detail
