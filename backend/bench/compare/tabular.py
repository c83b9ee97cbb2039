"""A small tabular model: requests per second and the latency of one caller."""

from contextlib import ExitStack

from bench import peers
from bench.compare.options import Options
from bench.lines import Found, found_of
from bench.rounds import Goal, loads_of, run_rounds
from bench.subjects import Load, Subject, mlforge, prototype

ONE, TWO = "MLForge", "MLForge, two workers"
PROTOTYPE = "prototype"
FORMS = ("v2-json", "v1-json")
# How many times as fast as each peer.
FACTORS = {peers.MLSERVER: 4, peers.KSERVE: 8, peers.LITSERVE: 8, peers.BENTOML: 8}
MANY = 32


def tabular(options: Options) -> Found:
    there = peers.available(tuple(FACTORS), options.venvs)
    bounds = [(Load(PROTOTYPE, "v2-json", MANY), 0.7)]
    bounds += [(_of_peer(name), FACTORS[name]) for name in there]
    goals = [
        Goal(f"{form}, 32 connections", Load(ONE, form, MANY), load, at_least=least)
        for form in FORMS
        for load, least in bounds
    ]
    return _run(options, goals, there)


def one_connection(options: Options) -> Found:
    goals = [
        Goal(
            f"{form}, 1 connection",
            Load(ONE, form, 1),
            Load(PROTOTYPE, "v2-json", 1),
            at_most=1.4,
            figure="p50_ms",
        )
        for form in FORMS
    ]
    return _run(options, goals, [])


def two_workers(options: Options) -> Found:
    there = peers.available((peers.TRITON_BATCHING,), options.venvs)
    goals = []
    for form in FORMS:
        ours = Load(TWO, form, MANY)
        bounds = [
            (Load(PROTOTYPE, "v2-json", MANY), 0.95),
            (Load(ONE, form, MANY), 1.3),
        ]
        bounds += [(_of_peer(name), 1.3) for name in there]
        goals += [
            Goal(f"{form}, 32 connections, two workers", ours, load, at_least=least)
            for load, least in bounds
        ]
    return _run(options, goals, there)


def grpc(options: Options) -> Found:
    rivals = (peers.MLSERVER, peers.KSERVE, peers.TRITON)
    there = peers.available(rivals, options.venvs)
    goals = []
    for name in there:
        workers, ours, least = (
            ("two workers", TWO, 1.0)
            if name == peers.TRITON
            else ("one worker", ONE, 2.2)
        )
        goals.append(
            Goal(
                f"gRPC, 32 connections, {workers}",
                Load(ours, "grpc", MANY),
                Load(name, "grpc", MANY),
                at_least=least,
            )
        )
    # Whatever is there to compare with, the figure itself is wanted.
    two_beside_one = Goal(
        "gRPC, 32 connections, two workers beside one",
        Load(TWO, "grpc", MANY),
        Load(ONE, "grpc", MANY),
    )
    return _run(options, [*goals, two_beside_one], there)


def _of_peer(name: str) -> Load:
    return Load(name, peers.PEERS[name].form, MANY)


def _run(options: Options, goals: list[Goal], rivals: list[str]) -> Found:
    model = options.model("tabular")
    loads = loads_of(goals)
    wanted = {load.subject for load in loads}
    with ExitStack() as stack:
        subjects: dict[str, Subject] = {}
        if PROTOTYPE in wanted:
            subjects[PROTOTYPE] = stack.enter_context(prototype(model))
        if ONE in wanted:
            subjects[ONE] = stack.enter_context(mlforge(model))
        if TWO in wanted:
            subjects[TWO] = stack.enter_context(mlforge(model, "--workers", "2"))
        subjects |= stack.enter_context(peers.peers(rivals, options.venvs, model))
        rounds = run_rounds(
            subjects, loads, rounds=options.rounds, seconds=options.seconds
        )
    return found_of(goals, rounds)
