"""The first minute: uploads the example model and shows how to call it."""

import asyncio
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import typer

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Example:
    name: str
    description: str
    model: bytes
    body: dict[str, Any]

    @property
    def file_name(self) -> str:
        return f"{self.name}.onnx"


def load_example() -> Example:
    folder = files(__package__)
    info = json.loads(folder.joinpath("wine.json").read_text("utf-8"))
    model = folder.joinpath("wine.onnx").read_bytes()
    return Example(info["name"], info["description"], model, info["sample"])


async def show_example(url: str, key_file: Path | None) -> None:
    """Uploads and calls the example when the registry at `url` is empty. `key_file`
    holds the admin key where one is needed."""
    headers = {}
    sent_key = ""
    if key_file is not None:
        try:
            key = await asyncio.to_thread(key_file.read_text, "utf-8")
            headers["X-API-Key"] = key.strip()
            sent_key = f' -H "X-API-Key: $(cat {key_file})"'
        except OSError:
            typer.echo("The example needs an API key: upload it with one of yours.")
            return
    async with httpx.AsyncClient(
        base_url=url, timeout=TIMEOUT_S, headers=headers
    ) as client:
        try:
            await _show(client, url, sent_key)
        except httpx.HTTPError as error:
            typer.echo(f"The example could not be shown: {error!r}", err=True)


async def _show(client: httpx.AsyncClient, url: str, sent_key: str) -> None:
    registry = (await client.get("/api/v1/models")).raise_for_status().json()
    if registry["total"]:
        return
    example = load_example()
    upload = await client.post(
        "/api/v1/models/upload",
        files={"file": (example.file_name, example.model)},
        data={"name": example.name, "description": example.description},
    )
    upload.raise_for_status()
    predict = f"/api/v1/models/{example.name}/predict"
    answer = (await client.post(predict, json=example.body)).raise_for_status()
    _print(f"{sent_key} {url}", example, predict, answer.json())


def _print(place: str, example: Example, predict: str, answer: dict[str, Any]) -> None:
    model = files(__package__).joinpath(example.file_name)
    typer.echo(
        f"\n{example.description}\n"
        f"\nUploaded as `{example.name}`, as this call does with your own file:\n\n"
        f"  curl -F file=@{model}{place}/api/v1/models/upload\n"
        f"\nIts first prediction:\n\n"
        f"  curl{place}{predict} \\\n"
        f"    -H 'Content-Type: application/json' \\\n"
        f"    -d '{json.dumps(example.body)}'\n\n"
        f"{json.dumps(answer['predictions'], indent=2)}\n"
    )
