"""A registry of 10,000 versions of which 1,000 are used."""

import asyncio
import json
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import psutil

from app.artifacts.local import LocalStore
from app.artifacts.store import MODEL_FILE, Artifact
from bench.compare.options import Options
from bench.lines import Found, Line
from bench.own_load import measured
from bench.subjects import upload
from tests import graphs
from tests.live import LiveServer

VERSIONS, USED = 10_000, 1_000
PAGES = 200
BUDGET_MB = 256
SETTINGS = {
    "access_log": "false",
    "log_level": "WARNING",
    "model_memory_budget_mb": BUDGET_MB,
}


def registry(options: Options) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        with _server(Path(folder)) as server:
            upload(server.url, graphs.affine(2.0), "m0")
            few_ms = _predict_ms(server, options, seed=0)
        _fill(Path(folder) / "data")
        with _server(Path(folder)) as server:
            many_ms = _predict_ms(server, options, seed=1000)
            before_mb = _resident_mb(server)
            _use(server)
            after_mb = _resident_mb(server)
            list_ms = _list_p95_ms(server)
    ratio = round(many_ms / few_ms, 3)
    alone = f"with 1 version, not {VERSIONS:,}"
    return Found(
        [
            Line("list, p95", "ms", list_ms, list_ms, at_most=20),
            Line("predict, median", "ms", many_ms, ratio, alone, few_ms, at_most=1.1),
            Line(
                f"resident memory that {USED:,} used models add",
                "MB",
                round(after_mb - before_mb, 1),
                round(after_mb - before_mb, 1),
                at_most=BUDGET_MB,
            ),
        ],
        notes={"before_mb": before_mb, "after_mb": after_mb},
    )


@contextmanager
def _server(folder: Path) -> Iterator[LiveServer]:
    server = LiveServer(folder=folder, settings=SETTINGS, timeout_s=120)
    try:
        yield server
    finally:
        server.close()


def _predict_ms(server: LiveServer, options: Options, seed: int) -> float:
    """Of the first model and one caller."""
    rounds = [
        measured(
            server.url,
            "m0",
            seconds=options.seconds,
            concurrency=(1,),
            seed=seed + number,
        )
        for number in range(options.rounds)
    ]
    return statistics.median(results[0].p50_ms for results in rounds)


def _use(server: LiveServer) -> None:
    with httpx.Client(base_url=server.url) as client:
        for number in range(USED):
            got = _predict(client, number, 1.0)
            wanted = number + 2.0 + 1.0
            if got != wanted:
                raise RuntimeError(f"m{number} answered {got}, not {wanted}")


def _predict(client: httpx.Client, number: int, value: float) -> float:
    answer = client.post(
        f"/api/v1/models/m{number}/predict",
        json={"input_data": {"x": [[value, 0, 0]]}},
        timeout=60,
    )
    answer.raise_for_status()
    return float(answer.json()["output_data"]["y"][0][0])


def _list_p95_ms(server: LiveServer) -> float:
    chance, times = random.Random(1), []
    with httpx.Client(base_url=server.url) as client:
        for _ in range(PAGES):
            page = chance.randint(1, VERSIONS // 100)
            began = time.perf_counter()
            answer = client.get(
                "/api/v1/models", params={"page": page, "page_size": 100}
            )
            times.append(time.perf_counter() - began)
            answer.raise_for_status()
            if answer.json()["total"] != VERSIONS:
                raise RuntimeError(f"{answer.json()['total']} versions are listed")
    return round(statistics.quantiles(times, n=20)[-1] * 1000, 3)


def _resident_mb(server: LiveServer) -> float:
    root = psutil.Process(server.child.pid)
    family = (root, *root.children(recursive=True))
    return round(sum(one.memory_info().rss for one in family) / 1e6, 1)


def _fill(data: Path) -> None:
    """Copies of the first version, in the database and, for the used ones, as files
    of other content: the API would validate each, which takes the better part of an
    hour."""
    artifacts = asyncio.run(_commit_artifacts(data))
    with closing(sqlite3.connect(data / "mlforge.db")) as db, db:
        db.row_factory = sqlite3.Row
        (model,) = map(dict, db.execute("SELECT * FROM models"))
        (version,) = map(dict, db.execute("SELECT * FROM versions"))
        for number in range(1, VERSIONS):
            model_id = _like(model["id"])
            _insert(db, "models", {**model, "id": model_id, "name": f"m{number}"})
            artifact = artifacts[number % USED]
            file = artifact.get(MODEL_FILE)
            changed = {
                "id": _like(version["id"]),
                "model_id": model_id,
                "is_default": 0,
                "digest": artifact.digest,
                "file_hash": file.sha256,
                "file_size_bytes": file.size_bytes,
                "files": _files(version["files"], file.sha256, file.size_bytes),
            }
            _insert(db, "versions", {**version, **changed})


async def _commit_artifacts(data: Path) -> list[Artifact]:
    store, made = LocalStore(data), []
    for number in range(USED):
        async with store.stage() as staging:
            await staging.add(MODEL_FILE, _once(graphs.affine(number + 2.0)))
            made.append(await store.commit(staging))
    return made


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _like(identifier: str) -> str:
    """A new identifier in the way that `identifier` is written."""
    return str(uuid4()) if "-" in identifier else uuid4().hex


def _files(text: str, sha256: str, size_bytes: int) -> str:
    (file,) = json.loads(text)
    return json.dumps([{**file, "sha256": sha256, "size_bytes": size_bytes}])


def _insert(db: sqlite3.Connection, table: str, row: dict[str, object]) -> None:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))
