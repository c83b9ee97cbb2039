"""What each house rule looks for: the lines of a parsed file that break it."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50
MAX_STORY_LINES = 120
MAX_STORY_FUNCTION_LINES = 20


@dataclass(frozen=True, slots=True)
class Source:
    path: str
    text: str
    tree: ast.Module

    def is_under(self, *folders: str) -> bool:
        return self.path.startswith(folders)

    def lines(self) -> list[str]:
        return self.text.splitlines()


def parse(path: str, text: str) -> Source:
    return Source(path, text, ast.parse(text, path))


def _calls(source: Source, *names: str) -> Iterator[ast.Call]:
    """Calls of a function or method by its last name."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and _last_name(node.func) in names:
            yield node


def _last_name(node: ast.expr | None) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _keyword(call: ast.Call, name: str) -> object:
    for keyword in call.keywords:
        if keyword.arg == name and isinstance(keyword.value, ast.Constant):
            return keyword.value.value
    return None


def commits(source: Source) -> Iterator[int]:
    # A session's commit takes nothing; the artifact store's takes what it commits.
    for call in _calls(source, "commit"):
        if not call.args and not call.keywords:
            yield call.lineno


def http_exceptions(source: Source) -> Iterator[int]:
    for call in _calls(source, "HTTPException"):
        yield call.lineno


def base_http_middleware(source: Source) -> Iterator[int]:
    yield from _mentions(source, "BaseHTTPMiddleware")


def _mentions(source: Source, *names: str) -> Iterator[int]:
    """Where one of `names` is imported, or reached through a dot."""
    for node in ast.walk(source.tree):
        if (isinstance(node, ast.alias) and node.name in names) or (
            isinstance(node, ast.Attribute) and node.attr in names
        ):
            yield node.lineno


def globals_(source: Source) -> Iterator[int]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Global):
            yield node.lineno


def broad_excepts(source: Source) -> Iterator[int]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and _catches_all(node):
            last = node.body[-1]
            # Cleaning up and passing the error on is not catching it.
            if not (isinstance(last, ast.Raise) and last.exc is None):
                yield node.lineno


def _catches_all(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = handler.type
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(_last_name(kind) in ("Exception", "BaseException") for kind in kinds)


def create_alls(source: Source) -> Iterator[int]:
    for call in _calls(source, "create_all"):
        yield call.lineno


def lazy_relationships(source: Source) -> Iterator[int]:
    for call in _calls(source, "relationship"):
        if _keyword(call, "lazy") != "raise":
            yield call.lineno


UNSAFE_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle"}
UNSAFE_CALLS = {"eval", "exec", "yaml.load", "yaml.unsafe_load"}


def unsafe_loads(source: Source) -> Iterator[int]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name.split(".")[0] for alias in node.names}
            module = getattr(node, "module", None) or ""
            if UNSAFE_MODULES & {*names, module.split(".")[0]}:
                yield node.lineno
        elif isinstance(node, ast.Call) and _loads_unsafely(node):
            yield node.lineno


def _loads_unsafely(call: ast.Call) -> bool:
    name = _dotted(call.func)
    if name in ("np.load", "numpy.load"):
        return _keyword(call, "allow_pickle") is not False
    return name in UNSAFE_CALLS


ONNX_TYPE = re.compile(r"\b(tensor|seq|map|optional|sparse_tensor)\([a-z]")


def onnx_type_spellings(source: Source) -> Iterator[int]:
    prose = _docstrings(source.tree)
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Constant) or node in prose:
            continue
        if isinstance(node.value, str) and ONNX_TYPE.search(node.value):
            yield node.lineno


def _docstrings(tree: ast.Module) -> set[ast.Constant]:
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def _functions(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def long_functions(source: Source) -> Iterator[int]:
    for function in _functions(source):
        if _length(function) > MAX_FUNCTION_LINES:
            yield function.lineno


def long_files(source: Source) -> Iterator[int]:
    if len(source.lines()) > MAX_FILE_LINES:
        yield MAX_FILE_LINES + 1


def environ_reads(source: Source) -> Iterator[int]:
    yield from _mentions(source, "environ", "getenv")


UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")


def unfinished_words(source: Source) -> Iterator[int]:
    for number, line in enumerate(source.lines(), 1):
        if UNFINISHED.search(line):
            yield number


def long_story(source: Source) -> Iterator[int]:
    if len(source.lines()) > MAX_STORY_LINES:
        yield MAX_STORY_LINES + 1
    for function in _functions(source):
        if function.name == "predict" and _length(function) > MAX_STORY_FUNCTION_LINES:
            yield function.lineno


def mocks(source: Source) -> Iterator[int]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module == "unittest.mock":
            yield node.lineno
    yield from _mentions(source, "unittest.mock", "mock")


SILENCED = re.compile(r"#\s*(noqa|type:\s*ignore)")
REASONED = re.compile(
    r"#\s*(noqa:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*|type:\s*ignore\[[\w, -]+\])\s*(#|-)\s*\w"
)


def bare_silences(source: Source) -> Iterator[int]:
    for number, line in enumerate(source.lines(), 1):
        if SILENCED.search(line) and not REASONED.search(line):
            yield number
