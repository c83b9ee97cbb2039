"""What API keys cost a small prediction.

    python -m bench.keys [--seconds S] [--rounds N] [--connections N]

Prints the time of one check of the express way, with authentication off and on, and
the requests a second of two servers, off and on, whose rounds take turns, with their
medians. The inputs
repeat, so that every answer comes from the cache: nothing hides the check.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import repeat
from pathlib import Path
from timeit import timeit

import httpx
import psutil

from app.auth.gate import Gate
from app.auth.keyring import KeyRecord, Keyring
from app.auth.principal import Principal
from app.auth.tokens import new_token
from app.enums import Scope
from bench.http_load import load, request
from bench.workers import MLFORGE, TIMEOUT_S, ended, free_port, wait
from tests import graphs

PATH = "/api/v1/models/line/predict"
BODY = b'{"input_data": {"x": [[1, 2]]}}'
CHECKS = 2_000
REPEATS = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--connections", type=int, default=4)
    asked = parser.parse_args()
    _checks()
    with ExitStack() as stack:
        servers = {word: _served(stack, word) for word in ("off", "on")}
        rates: dict[str, list[float]] = {word: [] for word in servers}
        for _ in range(asked.rounds):
            for word, (port, call) in servers.items():
                found = load(
                    port,
                    repeat(call),
                    connections=asked.connections,
                    seconds=asked.seconds,
                )
                rates[word].append(asyncio.run(found).per_second)
    for word, several in rates.items():
        shown = ", ".join(f"{rate:,.0f}" for rate in several)
        middle = statistics.median(several)
        sys.stdout.write(f"auth {word}: {middle:,.0f} requests/s ({shown})\n")


def _checks() -> None:
    made = new_token()
    keyring = Keyring()
    holder = Principal("bench", frozenset({Scope.PREDICT}), made.id)
    keyring.replace([KeyRecord(made.id, made.digest, holder, 4e9)])
    bearer = b"Bearer " + made.token.encode()
    for word, gate in (("off", Gate(None)), ("on", Gate(keyring))):
        check = partial(_check, gate, bearer)
        # The least of many short runs: others may use the machine too.
        took_s = min(timeit(check, number=CHECKS) for _ in range(REPEATS))
        took_s -= min(timeit(_nothing, number=CHECKS) for _ in range(REPEATS))
        sys.stdout.write(f"one check, auth {word}: {took_s / CHECKS * 1e6:.2f} us\n")


def _check(gate: Gate, bearer: bytes) -> bool:
    """As the express way does it, headers read."""
    if not gate.is_on:
        return True
    caller = gate.at_once(bearer, None)
    return caller is not None and caller.may_predict and caller.pattern is None


def _nothing() -> bool:
    return True


def _served(stack: ExitStack, auth: str) -> tuple[int, bytes]:
    """The port of a server with a model, and the call that it takes."""
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    port = free_port()
    settings = {"AUTH": auth, "PORT": str(port), "GRPC_PORT": "0", "DATA_DIR": folder}
    child = psutil.Popen(
        [MLFORGE, "serve"],
        env={**os.environ, **settings, "ACCESS_LOG": "false"},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(ended, child)
    url = f"http://127.0.0.1:{port}"
    wait(lambda: _answers(url))
    headers = dict(_headers(Path(folder), auth))
    files = {"file": ("line.onnx", graphs.affine(2.0, width=2))}
    upload = f"{url}/api/v1/models/upload"
    httpx.post(upload, files=files, headers=headers, timeout=TIMEOUT_S)
    head, end, body = request(PATH, BODY).partition(b"\r\n\r\n")
    lines = [head, *(f"{name}: {key}".encode() for name, key in headers.items())]
    return port, b"\r\n".join(lines) + end + body


def _headers(folder: Path, auth: str) -> Iterator[tuple[str, str]]:
    if auth == "on":
        yield "Authorization", f"Bearer {(folder / 'admin-key').read_text().strip()}"


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v1/ready").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
