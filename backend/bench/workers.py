"""What several server processes cost, and how connections spread over them.

    python -m bench.workers [--workers N] [--starts N]

Prints, for N workers and beside it for N servers that each import for themselves: the
time until all are ready and their memory (pages that processes share are counted
once). Then the time until a killed worker's successor is ready, and for each start
how 32 keep-alive connections lie. Needs Linux.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx
import psutil

MLFORGE = Path(sys.executable).with_name("mlforge")
CONNECTIONS = 32
TIMEOUT_S = 60.0
REQUEST = b"GET /api/v1/live HTTP/1.1\r\nHost: bench\r\n\r\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--starts", type=int, default=10)
    asked = parser.parse_args()
    _compare(asked.workers)
    _spread(asked.workers, asked.starts)


def _compare(workers: int) -> None:
    began = time.perf_counter()
    with serving(workers) as crew:
        _tell(f"{workers} workers", time.perf_counter() - began, _memory_mb(crew))
        _tell_replacement(crew)
    began = time.perf_counter()
    with ExitStack() as stack:
        started = [_started(stack, 1) for _ in range(workers)]
        for _, port in started:
            wait(partial(_is_ready, port, 1))
        memory_mb = sum(_memory_mb((child, 0)) for child, _ in started)
        _tell(f"{workers} servers", time.perf_counter() - began, memory_mb)


def _tell(what: str, ready_s: float, memory_mb: float) -> None:
    sys.stdout.write(f"{what}: ready after {ready_s:.2f} s, {memory_mb:.0f} MB\n")


def _tell_replacement(crew: tuple[psutil.Popen, int]) -> None:
    child, port = crew
    child.children()[0].kill()
    began = time.perf_counter()
    wait(lambda: _restarts(port) == 1)
    took_s = time.perf_counter() - began
    sys.stdout.write(f"a killed worker's successor: ready after {took_s:.2f} s\n")


def _spread(workers: int, starts: int) -> None:
    good = 0
    for _ in range(starts):
        with serving(workers) as (child, port), ExitStack() as stack:
            counts = _counts(
                child, [_connected(stack, port) for _ in range(CONNECTIONS)]
            )
        share = max(counts) / CONNECTIONS
        good += share <= 0.7
        sys.stdout.write(f"connections {counts}, most {share:.0%}\n")
    sys.stdout.write(f"at most 70 % on one worker: {good} of {starts} starts\n")


@contextmanager
def serving(workers: int) -> Iterator[tuple[psutil.Popen, int]]:
    """The server, all ready, and its port."""
    with ExitStack() as stack:
        child, port = _started(stack, workers)
        wait(lambda: _is_ready(port, workers))
        yield child, port


def _started(stack: ExitStack, workers: int) -> tuple[psutil.Popen, int]:
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    port = free_port()
    settings = {"PORT": str(port), "GRPC_PORT": "0", "DATA_DIR": folder}
    child = psutil.Popen(
        [MLFORGE, "serve", "--workers", str(workers)],
        env={**os.environ, **settings, "ACCESS_LOG": "false"},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(ended, child)
    return child, port


def ended(child: psutil.Popen) -> None:
    child.terminate()
    child.wait(TIMEOUT_S)


def _connected(stack: ExitStack, port: int) -> tuple[str, int]:
    """This end's address of a connection that was answered."""
    made = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    made.sendall(REQUEST)
    made.recv(4096)
    host, own_port = made.getsockname()
    return host, own_port


def _counts(child: psutil.Popen, ours: list[tuple[str, int]]) -> list[int]:
    return [
        sum(bool(one.raddr) and tuple(one.raddr) in ours for one in connections)
        for connections in (each.net_connections("tcp") for each in child.children())
    ]


def _memory_mb(crew: tuple[psutil.Popen, int]) -> float:
    root = psutil.Process(crew[0].pid)
    family = [root, *root.children(recursive=True)]
    return float(sum(one.memory_full_info().pss for one in family) / 2**20)


def _is_ready(port: int, workers: int) -> bool:
    try:
        health = httpx.get(f"http://127.0.0.1:{port}/health", timeout=TIMEOUT_S).json()
    except httpx.TransportError:
        return False
    return bool(health["workers"]["alive"] == workers)


def _restarts(port: int) -> int:
    health = httpx.get(f"http://127.0.0.1:{port}/health", timeout=TIMEOUT_S).json()
    workers = health["workers"]
    return int(workers["restarts"]) if workers["alive"] == workers["total"] else 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def wait(ready: Callable[[], bool]) -> None:
    until = time.monotonic() + TIMEOUT_S
    while not ready():
        if time.monotonic() > until:
            raise TimeoutError("the server did not come up")
        time.sleep(0.01)


if __name__ == "__main__":
    main()
