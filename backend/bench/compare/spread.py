"""Whether the callers' connections spread over the workers, start after start."""

import asyncio
from collections import Counter

import psutil

from bench.compare.options import Options
from bench.lines import Found, Line
from bench.subjects import Served, mlforge

CONNECTIONS, STARTS = 32, 10
MOST = 0.7


def spread(options: Options) -> Found:
    """Counts, for each start, who accepted the connections."""
    model = options.model("tabular")
    shares = []
    for _ in range(STARTS):
        with mlforge(model, "--workers", "2") as server:
            shares.append(asyncio.run(_largest_share(server)))
    good = sum(share <= MOST for share in shares)
    line = Line(
        f"starts of {STARTS} with no worker over 70 % of {CONNECTIONS} connections",
        "starts",
        good,
        good,
        at_least=9,
    )
    return Found([line], notes={"largest_shares": shares})


async def _largest_share(server: Served) -> float:
    opened = [
        await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(CONNECTIONS)
    ]
    try:
        for reader, writer in opened:
            writer.write(b"GET /v2/health/live HTTP/1.1\r\nHost: bench\r\n\r\n")
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        return _share(server)
    finally:
        for _, writer in opened:
            writer.close()


def _share(server: Served) -> float:
    root = psutil.Process(server.child.pid)
    held: Counter[int] = Counter()
    for process in (root, *root.children(recursive=True)):
        for link in process.net_connections("tcp"):
            if (
                link.status == psutil.CONN_ESTABLISHED
                and link.laddr.port == server.port
            ):
                held[process.pid] += 1
    return round(max(held.values()) / held.total(), 3)
