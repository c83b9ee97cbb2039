"""Predictions shared by processes through Redis, which may be away at any time."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import NamedTuple, Self

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.cache.base import Found, Outputs
from app.cache.breaker import CircuitBreaker
from app.cache.key import CacheKey
from app.cache.wire import WireError, decode, encode
from app.observability.metrics import Metrics

PREFIX = "mlforge:predictions:"
CONNECTIONS_MAX = 16
PENDING_MAX = 1024
PENDING_MAX_BYTES = 16 * 2**20
BATCH_MAX = 32
BATCH_MAX_BYTES = 256 * 1024
LOG_EVERY_S = 10.0

UNREACHABLE = (RedisConnectionError, RedisTimeoutError, OSError)

logger = structlog.get_logger(__name__)


class _Write(NamedTuple):
    cache_key: CacheKey
    outputs: Outputs
    size_bytes: int


class RedisTier:
    """Never raises for what Redis does, and never waits longer than its timeout.

    Each trouble is a miss, or a write that did not happen, and is counted. After
    several in a row Redis is left alone for some seconds. Belongs to one event loop.
    """

    enabled = True

    def __init__(
        self,
        client: Redis,
        *,
        ttl_s: float,
        timeout_ms: int,
        metrics: Metrics,
        prefix: str = PREFIX,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self._client = client
        self._ttl_ms = max(1, round(ttl_s * 1000))
        self._timeout_s = timeout_ms / 1000
        self._metrics = metrics
        self._prefix = prefix
        self._breaker = breaker or CircuitBreaker()
        self._errors = 0
        self._log_at = 0.0
        # Rather than a blocking pool, which loses a connection when its release
        # is cancelled while it waits for the pool's lock.
        self._slots = asyncio.Semaphore(CONNECTIONS_MAX)
        self._queue: asyncio.Queue[_Write] = asyncio.Queue(PENDING_MAX)
        self._pending_bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        ttl_s: float,
        timeout_ms: int,
        metrics: Metrics,
        prefix: str = PREFIX,
        breaker: CircuitBreaker | None = None,
    ) -> Self:
        """A tier of the Redis at `url`; connects when first used."""
        client = Redis.from_url(
            url,
            socket_timeout=timeout_ms / 1000,
            socket_connect_timeout=timeout_ms / 1000,
            retry=None,
            retry_on_timeout=False,
            lib_name=None,  # Saves the two calls that introduce the library.
            lib_version=None,
        )
        return cls(
            client,
            ttl_s=ttl_s,
            timeout_ms=timeout_ms,
            metrics=metrics,
            prefix=prefix,
            breaker=breaker,
        )

    @property
    def available(self) -> bool:
        return not self._breaker.is_open

    @property
    def errors(self) -> int:
        return self._errors

    async def find(self, cache_key: CacheKey) -> Found | None:
        found = None
        if self._breaker.allows():
            with self._fails_open():
                found = await self._fetch(cache_key)
        return found

    def put(self, cache_key: CacheKey, outputs: Outputs, *, size_bytes: int) -> None:
        full = self._pending_bytes + size_bytes > PENDING_MAX_BYTES
        if full or self._queue.full() or self._breaker.is_open or self._closed:
            self._metrics.cache_writes_dropped.inc()
            return
        self._pending_bytes += size_bytes
        self._queue.put_nowait(_Write(cache_key, outputs, size_bytes))
        if self._writer is None:
            self._writer = asyncio.create_task(self._drain(), name="cache writer")

    async def flush(self) -> None:
        """Waits until every write so far was made or given up."""
        await self._queue.join()

    async def close(self) -> None:
        """Gives up the writes that wait and closes the connections."""
        self._closed = True
        if self._writer is not None:
            # May be lost inside redis-py, whose `wait_for` swallows it before
            # Python 3.12; the writer then sees that the tier is closed.
            self._writer.cancel()
            await asyncio.wait((self._writer,))
        with suppress(RedisError, OSError):
            async with asyncio.timeout(self._timeout_s):
                await self._client.aclose()

    @contextmanager
    def _fails_open(self) -> Iterator[None]:
        """The one place that says what Redis may do to us: nothing.

        A server that answers with an error, or holds a broken entry, is there;
        only one that does not answer opens the breaker.
        """
        try:
            yield
        except UNREACHABLE as error:
            self._breaker.failed()
            self._count(error)
        except (RedisError, WireError) as error:
            self._breaker.succeeded()
            self._count(error)
        else:
            self._breaker.succeeded()
        self._metrics.cache_breaker_state.set(self._breaker.is_open)

    def _count(self, error: Exception) -> None:
        self._errors += 1
        self._metrics.cache_errors.labels(type=type(error).__name__).inc()
        self._log(error)

    def _log(self, error: Exception) -> None:
        now = monotonic()
        if now < self._log_at:
            return
        self._log_at = now + LOG_EVERY_S
        logger.warning(
            "prediction cache goes on without Redis",
            error=f"{type(error).__name__}: {error}",
            errors=self._errors,
            left_alone=self._breaker.is_open,
        )

    async def _fetch(self, cache_key: CacheKey) -> Found | None:
        name = self._name(cache_key)
        async with (
            asyncio.timeout(self._timeout_s),
            self._slots,
            self._client.pipeline(transaction=False) as pipeline,
        ):
            pipeline.get(name)
            pipeline.pttl(name)
            entry, ttl_ms = await pipeline.execute()
        if entry is None or ttl_ms < 0:  # Gone, or somebody's without an end.
            return None
        return Found(decode(entry), ttl_ms / 1000)

    async def _drain(self) -> None:
        while not self._closed:
            batch = [await self._queue.get()]
            size = batch[0].size_bytes
            while len(batch) < BATCH_MAX and size < BATCH_MAX_BYTES:
                if self._queue.empty():
                    break
                batch.append(self._queue.get_nowait())
                size += batch[-1].size_bytes
            await self._store(batch)
            for write in batch:
                self._pending_bytes -= write.size_bytes
                self._queue.task_done()

    async def _store(self, batch: list[_Write]) -> None:
        entries = self._encoded(batch)
        if not entries:
            return
        if not self._breaker.allows():
            self._metrics.cache_writes_dropped.inc(len(batch))
            return
        with self._fails_open():
            async with (
                asyncio.timeout(self._timeout_s),
                self._slots,
                self._client.pipeline(transaction=False) as pipeline,
            ):
                for name, entry in entries.items():
                    pipeline.set(name, entry, px=self._ttl_ms)
                await self._send(pipeline)

    async def _send(self, pipeline: Pipeline) -> None:
        try:
            await pipeline.execute()
        except ReadOnlyError:
            # A replica since a failover: new connections ask DNS again.
            await self._client.connection_pool.disconnect(inuse_connections=False)
            raise

    def _encoded(self, batch: list[_Write]) -> dict[str, bytes]:
        entries = {}
        for write in batch:
            try:
                entries[self._name(write.cache_key)] = encode(write.outputs)
            except WireError as error:
                self._count(error)
        return entries

    def _name(self, cache_key: CacheKey) -> str:
        version_id, epoch, digest = cache_key
        return f"{self._prefix}{version_id}:{epoch}:{digest.hex()}"
