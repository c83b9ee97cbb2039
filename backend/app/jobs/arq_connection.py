"""An arq client that speaks JSON and gives up in time.

arq pickles by default, so whoever can write to Redis could run code in a worker;
and redis-py waits for ever by default, so a frozen Redis would freeze us too.
"""

from typing import Any

import orjson
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool

QUEUE_NAME = "mlforge:bell"
RING = "ring"


def connect(url: str, *, timeout_s: float) -> ArqRedis:
    pool = ConnectionPool.from_url(
        url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s
    )
    return ArqRedis(
        pool_or_conn=pool,
        job_serializer=to_json,
        job_deserializer=orjson.loads,
        default_queue_name=QUEUE_NAME,
    )


def to_json(message: dict[str, Any]) -> bytes:
    # arq puts the exception of a failed call into its message; str shows it.
    return orjson.dumps(message, default=str)
