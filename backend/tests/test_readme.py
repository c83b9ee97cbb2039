"""Every example of the README is run, and answers as the README says."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import StartServer

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```console\n\$ (?P<command>[^\n]+)\n(?P<answer>.*?)```", re.DOTALL)
HOST = "http://127.0.0.1:8000"
VOLATILE = {"id"}


@dataclass(frozen=True)
class Example:
    """`answer` holds some of the fields; `...` stands for the others."""

    method: str
    path: str
    send: dict[str, Any]
    answer: dict[str, Any]


def examples() -> list[Example]:
    text = (ROOT / "README.md").read_text()
    return [
        _example(found["command"], found["answer"]) for found in BLOCK.finditer(text)
    ]


def _example(command: str, answer: str) -> Example:
    words = shlex.split(command)
    assert words.pop(0) == "curl"
    options: dict[str, list[str]] = {"-X": [], "-H": [], "-d": [], "-F": []}
    urls = []
    while words:
        word = words.pop(0)
        if word in options:
            options[word].append(words.pop(0))
        else:
            urls.append(word)
    (url,) = urls
    assert url.startswith(HOST)
    has_body = options["-d"] or options["-F"]
    return Example(
        method=(options["-X"] or ["POST" if has_body else "GET"])[0],
        path=url.removeprefix(HOST),
        send=_sent(options),
        answer=json.loads(re.sub(r",\s*\.\.\.\s*}", "}", answer)),
    )


def _sent(options: dict[str, list[str]]) -> dict[str, Any]:
    headers = dict(header.split(": ", 1) for header in options["-H"])
    if options["-d"]:
        return {"content": options["-d"][0], "headers": headers}
    form = dict(part.split("=", 1) for part in options["-F"])
    files = {
        name: (Path(value[1:]).name, (ROOT / value[1:]).read_bytes())
        for name, value in form.items()
        if value.startswith("@")
    }
    data = {name: value for name, value in form.items() if name not in files}
    return {"files": files, "data": data, "headers": headers}


def test_every_example_answers_as_it_says(start_server: StartServer) -> None:
    server = start_server("--example")
    server.wait_for_log("Its first prediction")
    shown = examples()
    assert len(shown) >= 8
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for example in shown:
            response = client.request(example.method, example.path, **example.send)
            got = response.json()
            for field, wanted in example.answer.items():
                if field not in VOLATILE:
                    assert got[field] == wanted, f"{example.path}: {field}"


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md")), ids=str
)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"
