"""House rules that ruff has no words for, each with a name and a reason.

One parse per file, shared by all rules. An exception is a line in `ALLOWED` here,
with its reason, so that it is seen in a review.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts import house_rules as find
from scripts.house_rules import Source, parse

BACKEND = Path(__file__).resolve().parents[1]
FOLDERS = ("app", "bench", "conformance", "tests", "scripts", "alembic")

GENERATED = "_pb2.py"  # protoc's, by its own rules.

STORY = "app/serving/predict.py"

# (rule, file) -> why the rule does not hold there.
ALLOWED: dict[tuple[str, str], str] = {
    ("broad-except", "app/api/middleware.py"): "the edge of a request: becomes a 500",
    ("broad-except", "app/api/express.py"): "the endpoints answer in its stead",
    ("broad-except", "app/rpc/calls.py"): "the edge of an RPC: becomes INTERNAL",
    ("broad-except", "app/cli/seat.py"): "the edge of a forked process",
    ("broad-except", "app/engine/child.py"): "the edge of the child: the parent waits",
    ("broad-except", "app/services/traffic.py"): "the edge of a task that never ends",
    ("environ", "app/engine/children.py"): "the child inherits a few variables alone",
    ("environ", "app/__init__.py"): "ONNX Runtime reads its telemetry switch there",
}


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    why: str
    applies: Callable[[Source], bool]
    find: Callable[[Source], Iterator[int]]


@dataclass(frozen=True, slots=True)
class Finding:
    path: str
    line: int
    rule: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.why}"


def findings(source: Source) -> list[Finding]:
    return [
        Finding(source.path, line, rule.name, rule.why)
        for rule in RULES
        if rule.applies(source) and (rule.name, source.path) not in ALLOWED
        for line in rule.find(source)
    ]


def everywhere(_source: Source) -> bool:
    return True


def in_app(source: Source) -> bool:
    return source.is_under("app/")


def in_tests(source: Source) -> bool:
    return source.is_under("tests/")


def not_the_rules(source: Source) -> bool:
    """The rules and their tests spell out what they forbid."""
    return not source.path.endswith(("lint_house.py", "house_rules.py"))


RULES = (
    Rule(
        "commit",
        "only Database.transaction commits; services open one",
        lambda source: in_app(source) and source.path != "app/database.py",
        find.commits,
    ),
    Rule(
        "http-exception",
        "raise an error of app/errors.py",
        in_app,
        find.http_exceptions,
    ),
    Rule(
        "base-http-middleware",
        "write plain ASGI middleware: it breaks streaming and costs a task",
        in_app,
        find.base_http_middleware,
    ),
    Rule("global", "make it in runtime/ and pass it on", everywhere, find.globals_),
    Rule(
        "broad-except",
        "name the exception; only outermost edges catch all, listed in ALLOWED",
        in_app,
        find.broad_excepts,
    ),
    Rule(
        "create-all", "migrations alone make the schema", everywhere, find.create_alls
    ),
    Rule(
        "lazy-relationship",
        'relationship(..., lazy="raise"): loading is explicit',
        in_app,
        find.lazy_relationships,
    ),
    Rule(
        "unsafe-load",
        "no pickle, eval, exec, yaml.load; np.load needs allow_pickle=False",
        in_app,
        find.unsafe_loads,
    ),
    Rule(
        "onnx-type",
        "ONNX's type spellings live in engine/ alone; use ElementType",
        lambda source: in_app(source) and not source.is_under("app/engine/"),
        find.onnx_type_spellings,
    ),
    Rule(
        "long-function",
        f"over {find.MAX_FUNCTION_LINES} lines: a function is one thought",
        in_app,
        find.long_functions,
    ),
    Rule(
        "long-file",
        f"over {find.MAX_FILE_LINES} lines: a file is one idea",
        in_app,
        find.long_files,
    ),
    Rule(
        "environ",
        "settings are read in config.py and passed by constructor",
        in_app,
        find.environ_reads,
    ),
    Rule(
        "unfinished",
        "finish it, or take it out",
        not_the_rules,
        find.unfinished_words,
    ),
    Rule(
        "story",
        f"the hot path reads as a story: {find.MAX_STORY_LINES} lines, "
        f"predict() {find.MAX_STORY_FUNCTION_LINES}",
        lambda source: source.path == STORY,
        find.long_story,
    ),
    Rule(
        "mock",
        "test against the real thing, or a fake that is code",
        in_tests,
        find.mocks,
    ),
    Rule(
        "bare-silence",
        "noqa and type: ignore name their code and give a reason",
        not_the_rules,
        find.bare_silences,
    ),
)


def sources() -> Iterator[Source]:
    for folder in FOLDERS:
        for file in sorted((BACKEND / folder).rglob("*.py")):
            if file.name.endswith(GENERATED):
                continue
            yield parse(file.relative_to(BACKEND).as_posix(), file.read_text())


def unused_exceptions(all_sources: list[Source]) -> list[str]:
    """Lines of ALLOWED that nothing needs any more."""
    found = {
        (rule.name, source.path)
        for source in all_sources
        for rule in RULES
        if rule.applies(source) and any(rule.find(source))
    }
    return [
        f"scripts/lint_house.py: ALLOWED {rule} in {path} is not needed"
        for rule, path in ALLOWED
        if (rule, path) not in found
    ]


def main() -> int:
    parsed = list(sources())
    found = [str(finding) for source in parsed for finding in findings(source)]
    found += unused_exceptions(parsed)
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
