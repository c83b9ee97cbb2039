"""Hits of the prediction cache, in process and in Redis alone."""

import statistics
from contextlib import ExitStack

from bench.compare.options import Options
from bench.lines import Found, Line, line_of
from bench.rounds import Goal, as_json, run_rounds
from bench.subjects import Load, mlforge
from tests.redis_server import OwnRedis

OURS, REDIS = "MLForge", "MLForge, Redis only"
HITS = Load(OURS, "v2-json", 32, cached=True)
MISSES = Load(OURS, "v2-json", 32)
REDIS_HITS = Load(REDIS, "v2-json", 1, cached=True)


def caching(options: Options) -> Found:
    model = options.model("tabular")
    with ExitStack() as stack:
        redis = OwnRedis()
        stack.callback(redis.close)
        subjects = {
            OURS: stack.enter_context(mlforge(model)),
            REDIS: stack.enter_context(
                mlforge(model, redis_url=redis.new_url(), cache_memory_mb=0)
            ),
        }
        rounds = run_rounds(
            subjects,
            [MISSES, HITS, REDIS_HITS],
            rounds=options.rounds,
            seconds=options.seconds,
        )
    goal = Goal("hits in process beside misses", HITS, MISSES, at_least=1.0)
    p50_ms = round(statistics.median(one.p50_ms for one in rounds[REDIS_HITS]), 3)
    in_redis = Line(
        "hits in Redis only, 1 connection", "p50_ms", p50_ms, p50_ms, at_most=1.0
    )
    return Found([line_of(goal, rounds), in_redis], as_json(rounds))
