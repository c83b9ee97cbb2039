"""How long a server takes until it serves: at its start, and for a new model."""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import httpx

from bench import answers
from bench.compare.options import Options
from bench.lines import Found, Line
from bench.payloads import payload
from bench.subjects import upload
from tests import graphs
from tests.live import LiveServer

MODELS = 100
SETTINGS: Mapping[str, object] = {"access_log": "false", "log_level": "WARNING"}


def starting(options: Options) -> Found:
    big = options.model("big100")
    with tempfile.TemporaryDirectory() as folder:
        start = partial(LiveServer, folder=Path(folder), settings=SETTINGS)
        _fill(start)
        ready_s = [_start_s(start) for _ in range(options.rounds)]
        first_s, bare_s = _first_predictions(start, big, options.rounds)
    ready = round(statistics.median(ready_s), 3)
    ours, theirs = (round(statistics.median(each), 4) for each in (first_s, bare_s))
    return Found(
        [
            Line(f"start to ready with {MODELS} models", "s", ready, ready, at_most=3),
            Line(
                "first prediction of a 100 MB model after its upload",
                "s",
                ours,
                round(ours / theirs, 3),
                "bare session creation",
                theirs,
                at_most=2,
            ),
        ],
        notes={"ready_s": ready_s, "first_s": first_s, "bare_s": bare_s},
    )


def _fill(start: Callable[[], LiveServer]) -> None:
    server = start()
    try:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for number in range(MODELS):
                client.post(
                    "/api/v1/models/upload",
                    files={"file": ("m.onnx", graphs.affine(number + 2.0))},
                    data={"name": f"m{number}"},
                ).raise_for_status()
    finally:
        server.close()


def _start_s(start: Callable[[], LiveServer]) -> float:
    began = time.perf_counter()
    server = start()
    took_s = time.perf_counter() - began
    server.close()
    return took_s


def _first_predictions(
    start: Callable[[], LiveServer], big: Path, rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of first predictions, and of bare sessions with a first run."""
    made = payload("v2-json", big.stem)
    answers.session(big)  # Afterwards the file is in memory, for both sides.
    ours, theirs = [], []
    server = start()
    try:
        for number in range(rounds):
            began = time.perf_counter()
            session = answers.session(big)
            session.run(None, made.inputs(number))
            theirs.append(time.perf_counter() - began)
            del session
            upload(server.url, _another(big, number), f"big{number}")
            ours.append(_first(server.url, f"big{number}", made.body(number)))
    finally:
        server.close()
    return ours, theirs


def _another(model: Path, number: int) -> bytes:
    """The same model in other bytes, so that nothing of it is loaded already: ONNX's
    producer_version (field 3) once more, of which the last counts."""
    return model.read_bytes() + b"\x1a\x04%04d" % number


def _first(url: str, name: str, body: bytes) -> float:
    headers = {"Content-Type": "application/json"}
    with httpx.Client(base_url=url, timeout=60) as client:
        client.get("/v2/health/live").raise_for_status()
        began = time.perf_counter()
        path = f"/v2/models/{name}/infer"
        client.post(path, content=body, headers=headers).raise_for_status()
        return time.perf_counter() - began
