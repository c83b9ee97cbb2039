"""A small closed-loop load generator: raw keep-alive connections, no HTTP library.

Each connection sends its next request when the answer to the last one has come.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """Latencies of single requests in seconds, and how long all took."""

    latencies_s: list[float]
    took_s: float

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self.took_s

    def percentile_ms(self, percent: float) -> float:
        ordered = sorted(self.latencies_s)
        at = min(len(ordered) - 1, int(len(ordered) * percent / 100))
        return ordered[at] * 1000


def request(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(
    port: int, requests: Iterator[bytes], *, connections: int, seconds: float
) -> Load:
    """Sends `requests` over `connections` for `seconds`; any status but 200 raises."""
    latencies: list[float] = []
    started = time.perf_counter()
    stop_at = started + seconds
    await asyncio.gather(
        *(_connection(port, requests, stop_at, latencies) for _ in range(connections))
    )
    return Load(latencies, time.perf_counter() - started)


async def _connection(
    port: int, requests: Iterator[bytes], stop_at: float, latencies: list[float]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while (sent_at := time.perf_counter()) < stop_at:
            writer.write(next(requests))
            await _answer(reader)
            latencies.append(time.perf_counter() - sent_at)
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise RuntimeError(head.decode("latin-1"))
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
