"""Models whose runs are the cost: how much of ONNX Runtime's own speed is left."""

from contextlib import ExitStack

from bench.bare import bare
from bench.compare.options import Options
from bench.lines import Found, found_of
from bench.rounds import Goal, loads_of, run_rounds
from bench.subjects import Load, Subject, mlforge

OURS, UNBATCHED, BARE = "MLForge", "MLForge, batching off", "bare ONNX Runtime"
MANY = 32


def conv(options: Options) -> Found:
    binary = Load(OURS, "v2-binary", MANY)
    goals = [
        Goal(
            "binary, 32 connections",
            binary,
            Load(BARE, "v2-binary", MANY),
            at_least=0.95,
        ),
        Goal(
            "binary, 1 connection",
            Load(OURS, "v2-binary", 1),
            Load(BARE, "v2-binary", 1),
            at_most=1.05,
            figure="p50_ms",
        ),
        Goal("JSON beside binary", Load(OURS, "v2-json", MANY), binary, at_least=0.85),
    ]
    return _run(options, "conv", goals)


def encoder(options: Options) -> Found:
    ours = Load(OURS, "v2-binary", MANY)
    goals = [
        Goal("32 connections", ours, Load(BARE, "v2-binary", MANY), at_least=0.95),
        Goal(
            "the median caller, beside batching off",
            ours,
            Load(UNBATCHED, "v2-binary", MANY),
            at_most=1.0,
            figure="p50_ms",
        ),
    ]
    return _run(options, "encoder", goals)


def _run(options: Options, name: str, goals: list[Goal]) -> Found:
    model, loads = options.model(name), loads_of(goals)
    with ExitStack() as stack:
        subjects: dict[str, Subject] = {
            BARE: stack.enter_context(bare(model)),
            OURS: stack.enter_context(mlforge(model)),
        }
        if any(load.subject == UNBATCHED for load in loads):
            subjects[UNBATCHED] = stack.enter_context(
                mlforge(model, serving={"batching": "off"})
            )
        rounds = run_rounds(
            subjects, loads, rounds=options.rounds, seconds=options.seconds
        )
    return found_of(goals, rounds)
