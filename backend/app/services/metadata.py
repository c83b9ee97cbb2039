"""What callers may say about a version, and what it must agree with."""

import json
import math
from collections import Counter
from typing import Any, Final

from app.codecs.base import NullPolicy, ScoreRule
from app.codecs.features import matrix_input, takes_columns
from app.codecs.json_tensors import build_tensor
from app.engine.signature import Signature, TensorType, ValueSpec, describe
from app.errors import InvalidField, InvalidInput
from app.services.refusals import refused
from app.services.serving_settings import check_offered, serving_settings

METADATA_BYTES: Final = 64 << 10
NAMES_BYTES: Final = 1 << 20
DESCRIPTION_LETTERS: Final = 10_000
_DEPTH: Final = 32
_INTEGERS: Final = (-(2**63), 2**64 - 1)
_TOO_BIG: Final = "holds an integer beyond 64 bits: send it as a string"


def check_text(loc: str, text: str, *, max_letters: int) -> str:
    """`text` when every database and every UTF-8 reader takes it."""
    if len(text) > max_letters:
        raise refused(
            loc,
            f"{loc} has {len(text)} characters: {max_letters} are the most it may have",
        )
    if "\0" in text or not _is_utf8(text):
        raise refused(
            loc, f"{loc} holds a NUL or half of a surrogate pair: send plain text"
        )
    return text


def parse_object(loc: str, text: str) -> dict[str, Any]:
    """A JSON object sent as a form field."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as exc:
        raise refused(loc, f"{loc} is no valid JSON: {exc}") from None
    except RecursionError:
        raise _too_deep(loc) from None
    except ValueError:
        # What Python says of a number of 4301 digits is about Python.
        raise refused(loc, f"{loc} {_TOO_BIG}") from None
    if not isinstance(data, dict):
        raise refused(
            loc, f"{loc} must be a JSON object, such as {{}}: got {text[:40]}"
        )
    return data


def check_metadata(loc: str, metadata: dict[str, Any]) -> dict[str, Any]:
    """`metadata` when it can be stored and sent as strict JSON."""
    _check_json(loc, metadata)
    _score_rule(loc, metadata)
    _null_policy(loc, metadata)
    check_offered(serving_settings(metadata, loc), loc)
    size = len(json.dumps(metadata, ensure_ascii=False).encode())
    if size > METADATA_BYTES:
        raise refused(
            loc,
            f"{loc} takes {size} bytes as JSON: {METADATA_BYTES} are the most; "
            "keep large data elsewhere and refer to it",
        )
    return metadata


def score_rule(metadata: dict[str, Any]) -> ScoreRule | None:
    """The rule in metadata that was checked when it was stored."""
    return _score_rule("model_metadata", metadata)


def null_policy(metadata: dict[str, Any]) -> NullPolicy | None:
    """The policy in metadata that was checked when it was stored."""
    return _null_policy("model_metadata", metadata)


def check_rules(metadata: dict[str, Any], signature: Signature) -> None:
    """What the metadata say of scores and of nulls agrees with the model."""
    check_score(metadata, signature)
    check_nulls(metadata, signature)


def check_nulls(metadata: dict[str, Any], signature: Signature) -> None:
    """The defaults for nulls, when there are any, are values that the model takes."""
    policy = null_policy(metadata)
    matrix = matrix_input(signature)
    for name, value in (policy.defaults if policy else {}).items():
        loc = f"model_metadata.nulls.defaults.{name}"
        spec = matrix
        if takes_columns(signature):
            spec = signature.inputs_by_name.get(name)
        if spec is None or not isinstance(spec.type, TensorType):
            raise refused(loc, f"{loc}: a row of the model has no such feature")
        try:
            build_tensor([value], spec.type.element, lambda _: "the default")
        except InvalidInput as exc:
            raise refused(loc, f"{loc}: {exc.detail.rstrip('.')}") from None


def check_score(metadata: dict[str, Any], signature: Signature) -> None:
    """The score rule, when there is one, names a number that the model gives."""
    rule = score_rule(metadata)
    if rule is None:
        return
    loc = "model_metadata.score"
    spec = signature.outputs_by_name.get(rule.output)
    if spec is None:
        names = ", ".join(f'"{output.name}"' for output in signature.outputs)
        raise refused(
            f"{loc}.output",
            f'{loc}.output is "{rule.output}", but the outputs are {names}',
        )
    width = _numbers_per_row(spec)
    if width == 0:
        raise refused(
            f"{loc}.output",
            f'{loc}.output is "{rule.output}", but that is {describe(spec)}, which '
            "holds no number for a row: name another output",
        )
    if width is not None and rule.index >= width:
        raise refused(
            f"{loc}.index",
            f'{loc}.index is {rule.index}, but output "{rule.output}" is '
            f"{describe(spec)}: use {'0' if width == 1 else f'0 to {width - 1}'}",
        )


def _numbers_per_row(spec: ValueSpec) -> int | None:
    """None where only a run can tell: free dimensions, maps by class."""
    if not isinstance(spec.type, TensorType) or spec.shape is None:
        return None
    if spec.type.element.is_string or not spec.shape:
        return 0
    sizes = [size for size in spec.shape[1:] if isinstance(size, int)]
    return math.prod(sizes) if len(sizes) == len(spec.shape) - 1 else None


def check_feature_names(names: object, signature: Signature) -> list[str]:
    """`names` when a row of the model can be made of them."""
    loc = "feature_names"
    checked = list_of_names(loc, names)
    if takes_columns(signature):
        return _check_columns(loc, checked, signature)
    spec = matrix_input(signature)
    if spec is None or not isinstance(spec.type, TensorType):
        raise refused(
            loc,
            f"{loc} can't be set: the model takes rows only with one 2-D input or "
            "with inputs that are each a column",
        )
    width = spec.shape[1] if spec.shape else None
    if isinstance(width, int) and width != len(checked):
        raise refused(
            loc,
            f'{loc} has {len(checked)} names, but input "{spec.name}" is '
            f"{describe(spec)}: give {width}",
        )
    return checked


def _check_columns(loc: str, names: list[str], signature: Signature) -> list[str]:
    wanted = [spec.name for spec in signature.inputs]
    if sorted(names) != sorted(wanted):
        raise refused(
            loc,
            f"{loc} must be the names of the model's inputs, which are its columns: "
            + ", ".join(f'"{name}"' for name in wanted),
        )
    return names


def list_of_names(loc: str, names: object) -> list[str]:
    if not isinstance(names, list) or not names:
        raise refused(loc, f"{loc} must be a list of strings, one per column")
    for at, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise refused(f"{loc}.{at}", f"{loc}[{at}] must be a string of a name")
        check_text(f"{loc}.{at}", name, max_letters=1000)
    if len(set(names)) != len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise refused(loc, f'{loc} has "{twice}" twice: every name must be different')
    if len(json.dumps(names)) > NAMES_BYTES:
        raise refused(loc, f"{loc} takes more than {NAMES_BYTES} bytes as JSON")
    return names


def _score_rule(loc: str, metadata: dict[str, Any]) -> ScoreRule | None:
    score = metadata.get("score")
    if score is None:
        return None
    wanted = f'{loc}.score must be {{"output": NAME, "index": NUMBER}}'
    if not isinstance(score, dict) or not isinstance(score.get("output"), str):
        raise refused(f"{loc}.score", wanted)
    index = score.get("index", 0)
    if type(index) is not int or not 0 <= index < 2**31 or score.keys() - _SCORE_KEYS:
        raise refused(f"{loc}.score", f"{wanted}, the number 0 or greater")
    return ScoreRule(score["output"], index)


_SCORE_KEYS: Final = {"output", "index"}


def _null_policy(loc: str, metadata: dict[str, Any]) -> NullPolicy | None:
    nulls = metadata.get("nulls")
    if nulls is None:
        return None
    loc = f"{loc}.nulls"
    if not isinstance(nulls, dict) or nulls.keys() - _NULLS_KEYS:
        raise refused(
            loc, f'{loc} must be {{"policy": "error" or "nan", "defaults": {{…}}}}'
        )
    policy, defaults = nulls.get("policy", "error"), nulls.get("defaults", {})
    if policy not in ("error", "nan"):
        raise refused(f"{loc}.policy", f'{loc}.policy must be "error" or "nan"')
    if not isinstance(defaults, dict):
        raise refused(
            f"{loc}.defaults", f"{loc}.defaults must be an object: {{FEATURE: VALUE}}"
        )
    for name, value in defaults.items():
        if not isinstance(value, str | int | float | bool):
            raise refused(
                f"{loc}.defaults.{name}",
                f"{loc}.defaults.{name} must be a string, a number, true or false",
            )
    return NullPolicy(policy == "nan", defaults)


_NULLS_KEYS: Final = {"policy", "defaults"}


def _check_json(loc: str, value: object) -> None:
    """Goes down without recursion: the depth is what is in doubt."""
    waiting: list[tuple[str, object, int]] = [(loc, value, 0)]
    while waiting:
        place, item, depth = waiting.pop()
        if depth > _DEPTH:
            raise _too_deep(loc)
        if isinstance(item, dict):
            for key, inner in item.items():
                _check_string(place, key)
                waiting.append((f"{place}.{key}", inner, depth + 1))
        elif isinstance(item, list):
            waiting += [
                (f"{place}.{at}", inner, depth + 1) for at, inner in enumerate(item)
            ]
        else:
            _check_leaf(place, item)


def _too_deep(loc: str) -> InvalidField:
    return refused(loc, f"{loc} is nested deeper than {_DEPTH} levels")


def _check_leaf(place: str, item: object) -> None:
    if isinstance(item, str):
        _check_string(place, item)
    elif isinstance(item, float) and not math.isfinite(item):
        raise refused(place, f"{place} is {item}, which JSON can't hold: use null")
    elif isinstance(item, int) and not _INTEGERS[0] <= item <= _INTEGERS[1]:
        raise refused(place, f"{place} {_TOO_BIG}")


def _check_string(place: str, text: str) -> None:
    if "\0" in text or not _is_utf8(text):
        raise refused(
            ascii(place)[1:-1],
            f"{ascii(place)[1:-1]} holds a NUL or half of a surrogate pair: "
            "send plain text",
        )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def metadata_with(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Both, the new one winning key by key at the top."""
    return check_metadata("model_metadata", {**old, **new})


def printable(text: str) -> str:
    """A message of foreign origin that every database can hold."""
    return text.replace("\0", "").encode(errors="replace").decode()[:4000]
