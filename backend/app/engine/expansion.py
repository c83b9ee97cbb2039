"""How large a model is with its functions expanded, counted without expanding them.

A kilobyte of functions that call each other twice stands for 2^60 nodes, and ONNX
Runtime would write them all out while loading.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from onnx import ModelProto, NodeProto

from app.engine.graph_walk import Container, graphs_within
from app.errors import InvalidModel

# ONNX Runtime 1.32 takes 2 s of CPU time for 16,000 nodes of nested functions, 8 s
# for 32,000 and 30 s for 64,000; plain nodes are a hundred times as fast.
_MOST_NODES = 40_000
_DEEPEST_CALLS = 64
# Counted no further: numbers of a million digits take memory and time themselves.
_COUNTED = 10**12

# Domain, name, overload.
_Name: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Body:
    own_nodes: int
    calls: Mapping[_Name, int]


@dataclass(frozen=True, slots=True)
class _Size:
    nodes: int
    depth: int


def check_expansion(model: ModelProto) -> None:
    """InvalidModel if it is too large, too deep, or has a function that calls itself."""
    functions = {_name(f.domain, f.name, f.overload): f for f in model.functions}
    bodies = {name: _body(function, functions) for name, function in functions.items()}
    sizes: dict[_Name, _Size] = {}
    for name in _callees_first(bodies):
        sizes[name] = _size(bodies[name], sizes)
    main = _body(model.graph, functions)
    total = _size(main, sizes)
    if total.nodes - main.own_nodes > _MOST_NODES:
        raise InvalidModel(
            f"this model's functions have {_count(total.nodes - main.own_nodes)} nodes "
            f"once they are expanded; {_MOST_NODES:,} is the limit"
        )
    if total.depth > _DEEPEST_CALLS:
        raise InvalidModel(
            f"this model's functions call each other {total.depth} deep; "
            f"{_DEEPEST_CALLS} is the limit"
        )


def _body(container: Container, functions: Collection[_Name]) -> _Body:
    own_nodes = 0
    calls: Counter[_Name] = Counter()
    for graph in graphs_within(container):
        for node in graph.node:
            name = _callee(node)
            if name in functions:
                calls[name] += 1
            else:
                own_nodes += 1
    return _Body(own_nodes, calls)


def _size(body: _Body, sizes: Mapping[_Name, _Size]) -> _Size:
    nodes = body.own_nodes
    depth = 0
    for name, times in body.calls.items():
        nodes += times * sizes[name].nodes
        depth = max(depth, 1 + sizes[name].depth)
    return _Size(min(nodes, _COUNTED), depth)


def _callees_first(bodies: Mapping[_Name, _Body]) -> list[_Name]:
    """An order in which every function comes after those it calls."""
    callers: dict[_Name, list[_Name]] = {name: [] for name in bodies}
    for name, body in bodies.items():
        for callee in body.calls:
            callers[callee].append(name)
    open_calls = {name: len(body.calls) for name, body in bodies.items()}
    ready = [name for name, count in open_calls.items() if count == 0]
    for name in ready:
        for caller in callers[name]:
            open_calls[caller] -= 1
            if open_calls[caller] == 0:
                ready.append(caller)
    if len(ready) < len(bodies):
        looping = next(name for name, count in open_calls.items() if count)
        raise InvalidModel(f"this model's function {looping[1]} calls itself")
    return ready


def _callee(node: NodeProto) -> _Name:
    return _name(node.domain, node.op_type, node.overload)


def _name(domain: str, name: str, overload: str) -> _Name:
    return ("" if domain == "ai.onnx" else domain, name, overload)


def _count(nodes: int) -> str:
    return f"{nodes:,}" if nodes < _COUNTED // 2 else "more than 10^11"
