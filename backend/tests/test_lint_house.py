"""Every house rule finds the violation planted for it, and lets the right form be."""

import pytest

from scripts.house_rules import parse
from scripts.lint_house import ALLOWED, RULES, findings, unused_exceptions

LONG = "\n".join(f"    x{n} = {n}" for n in range(60))

# rule, file, what breaks it, what does not
CASES = [
    (
        "commit",
        "app/services/a.py",
        "async def f(db):\n    await db.commit()",
        "async def f(store, staging):\n    await store.commit(staging)",
    ),
    (
        "http-exception",
        "app/api/a.py",
        "def f():\n    raise HTTPException(404)",
        "app.add_exception_handler(HTTPException, handler)",
    ),
    (
        "base-http-middleware",
        "app/api/a.py",
        "from starlette.middleware.base import BaseHTTPMiddleware",
        "from starlette.middleware import Middleware",
    ),
    (
        "global",
        "tests/a.py",
        "x = 0\ndef f():\n    global x\n    x = 1",
        "def f():\n    x = 0\n    def g():\n        nonlocal x\n        x = 1",
    ),
    (
        "broad-except",
        "app/crud/a.py",
        "try:\n    f()\nexcept (ValueError, Exception):\n    pass",
        "try:\n    f()\nexcept BaseException:\n    clean()\n    raise",
    ),
    (
        "broad-except",
        "app/crud/a.py",
        "try:\n    f()\nexcept:\n    pass",
        "try:\n    f()\nexcept ValueError:\n    pass",
    ),
    (
        "create-all",
        "tests/a.py",
        "Base.metadata.create_all(engine)",
        "migrate(dsn)",
    ),
    (
        "lazy-relationship",
        "app/models/a.py",
        "versions = relationship(back_populates='model')",
        "versions = relationship(back_populates='model', lazy='raise')",
    ),
    ("unsafe-load", "app/a.py", "import pickle", "import json"),
    ("unsafe-load", "app/a.py", "from pickle import loads", "from json import loads"),
    ("unsafe-load", "app/a.py", "eval('1')", "re.compile('1')"),
    ("unsafe-load", "app/a.py", "yaml.load(x)", "yaml.safe_load(x)"),
    ("unsafe-load", "app/a.py", "np.load(x)", "np.load(x, allow_pickle=False)"),
    (
        "onnx-type",
        "app/codecs/a.py",
        "kind = 'tensor(float)'",
        '"""Of a tensor(float)."""\nkind = element.name',
    ),
    ("long-function", "app/a.py", f"def f():\n{LONG}", "def f():\n    x = 1"),
    ("long-file", "app/a.py", "x = 1\n" * 301, "x = 1\n" * 300),
    (
        "environ",
        "app/services/a.py",
        "import os\nx = os.environ['A']",
        "def f(a):\n    return a",
    ),
    ("environ", "app/services/a.py", "from os import getenv", "from os import getpid"),
    ("unfinished", "app/a.py", "x = 1  # TODO: more", "x = 1  # To do is to be."),
    ("unfinished", "app/a.py", "raise NotImplementedError", "raise NotFound('x')"),
    (
        "story",
        "app/serving/predict.py",
        "async def predict(self):\n" + "    x = 1\n" * 20,
        "async def predict(self):\n" + "    x = 1\n" * 19,
    ),
    ("story", "app/serving/predict.py", "x = 1\n" * 121, "x = 1\n" * 120),
    (
        "mock",
        "tests/a.py",
        "from unittest.mock import patch",
        "from tests.graphs import add_one",
    ),
    ("mock", "tests/a.py", "import unittest.mock", "import unittest"),
    (
        "bare-silence",
        "app/a.py",
        "x = 1  # noqa: E501",
        "x = 1  # noqa: E501 - a link has no break",
    ),
    (
        "bare-silence",
        "app/a.py",
        "x = 1  # type: ignore",
        "x = 1  # type: ignore[misc]  # untyped upstream",
    ),
]


def rules_broken(path: str, text: str) -> set[str]:
    return {finding.rule for finding in findings(parse(path, text))}


@pytest.mark.parametrize(("rule", "path", "wrong", "right"), CASES)
def test_a_planted_violation_is_found_and_the_right_form_is_not(
    rule: str, path: str, wrong: str, right: str
) -> None:
    assert rule in rules_broken(path, wrong)
    assert rules_broken(path, right) == set()


def test_every_rule_has_a_planted_violation() -> None:
    assert {rule.name for rule in RULES} == {rule for rule, *_ in CASES}


def test_a_finding_names_the_place_the_rule_and_the_way_out() -> None:
    (finding,) = findings(parse("app/a.py", "x = 1\nimport pickle"))
    assert str(finding).startswith("app/a.py:2: unsafe-load: no pickle")


def test_an_allowed_file_is_let_through() -> None:
    (name, path), _reason = next(iter(ALLOWED.items()))
    text = "try:\n    f()\nexcept Exception:\n    pass"
    assert name == "broad-except"
    assert rules_broken(path, text) == set()


def test_an_exception_that_nothing_needs_is_reported() -> None:
    assert len(unused_exceptions([parse("app/a.py", "x = 1")])) == len(ALLOWED)
