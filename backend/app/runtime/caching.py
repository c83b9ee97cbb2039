"""The prediction cache that the settings ask for."""

from app.cache.base import LocalTier, NoLocalTier, NoSharedTier, SharedTier
from app.cache.memory import MemoryTier
from app.cache.redis import RedisTier
from app.cache.tiered import PredictionCache
from app.config import Settings
from app.observability.metrics import Metrics

MIB = 1024 * 1024
KIB = 1024


def make_cache(settings: Settings, metrics: Metrics) -> PredictionCache:
    cache = PredictionCache(
        _local_tier(settings),
        _shared_tier(settings, metrics),
        entry_max_bytes=settings.cache_entry_max_kb * KIB,
    )
    metrics.watch(
        entries=lambda: cache.stats().entries, size_bytes=lambda: cache.stats().bytes
    )
    return cache


def _local_tier(settings: Settings) -> LocalTier:
    if not settings.cache_ttl_s or not settings.cache_memory_mb:
        return NoLocalTier()
    return MemoryTier(
        max_bytes=settings.cache_memory_mb * MIB, ttl_s=settings.cache_ttl_s
    )


def _shared_tier(settings: Settings, metrics: Metrics) -> SharedTier:
    if not settings.cache_ttl_s or not settings.redis_url:
        return NoSharedTier()
    return RedisTier.connect(
        settings.redis_url,
        ttl_s=settings.cache_ttl_s,
        timeout_ms=settings.redis_timeout_ms,
        metrics=metrics,
    )
