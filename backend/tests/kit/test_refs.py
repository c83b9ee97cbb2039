"""References and names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.refs import (
    BadRef,
    Id,
    Name,
    NameAlias,
    NameVersion,
    check_name,
    check_version,
    name_from_file,
    parse_ref,
)

UUID = "0f9b6d5e-3f0d-4c39-9d0c-1f2f6f0e8a77"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iris", Name("iris")),
        ("iris:1.0.0", NameVersion("iris", "1.0.0")),
        ("iris@production", NameAlias("iris", "production")),
        (UUID, Id(UUID)),
        (UUID.upper(), Id(UUID)),
        ("9-lives_v2.b", Name("9-lives_v2.b")),
        ("a" * 128, Name("a" * 128)),
    ],
)
def test_each_form_is_told_apart(text: str, expected: object) -> None:
    assert parse_ref(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a b",
        "-iris",
        ".iris",
        "iris\n",
        "iris:",
        "iris@",
        ":1.0.0",
        "iris:1.0.0@production",
        "iris@a:b",
        "iris/../x",
        "café",
        "a" * 129,
        "iris:" + "1" * 51,
        "\ud800",
        "nul\0",
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(BadRef, match=r"is not allowed: use 1 to (50|128) letters"):
        parse_ref(text)


def test_a_name_may_not_look_like_an_id() -> None:
    with pytest.raises(BadRef, match="UUID"):
        check_name(UUID)


def test_a_version_has_50_characters_at_most() -> None:
    assert check_version("1" * 50) == "1" * 50
    with pytest.raises(BadRef):
        check_version("1" * 51)


def test_a_long_text_is_cut_in_the_message() -> None:
    with pytest.raises(BadRef) as caught:
        check_name("x" * 5000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("model.onnx", "model"),
        ("my model (3).onnx", "my-model-3"),
        ("C:\\models\\iris.v2.onnx", "iris.v2"),
        ("/tmp/iris.onnx", "iris"),
        ("über.onnx", "ber"),
        ("模型.onnx", "model"),
        ("", "model"),
        ("iris", "iris"),
        (f"{UUID}.onnx", f"model-{UUID}"),
    ],
)
def test_a_file_gives_its_model_a_name(file_name: str, name: str) -> None:
    assert name_from_file(file_name) == name


@given(st.text())
def test_whatever_the_file_is_called_the_name_is_allowed(file_name: str) -> None:
    assert check_name(name_from_file(file_name))
