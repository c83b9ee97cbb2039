"""Log lines: one stream, one form, and no text that forges or hides a line."""

import io
import json
import logging
import warnings
from typing import Any

import pytest
import structlog

from app.observability.logging import configure_logging

HOSTILE = "a\nb\r\x1b[31mred\x00\x7f\x85\u2028\u202ec"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure_logging("INFO", "json", stream=stream)
    return stream


@pytest.fixture
def console() -> io.StringIO:
    stream = io.StringIO()
    configure_logging("INFO", "console", stream=stream)
    return stream


def test_a_line_is_one_json_object_with_its_fields(stream: io.StringIO) -> None:
    structlog.get_logger("app.x").info("model loaded", model="iris", took_ms=1.5)
    [line] = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "model loaded",
        "level": "info",
        "logger": "app.x",
        "model": "iris",
        "took_ms": 1.5,
    }


def test_what_is_bound_to_the_request_is_on_every_line(stream: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger().info("ours")
        logging.getLogger("arq.worker").warning("theirs")
    assert [line["request_id"] for line in lines(stream)] == ["r-1", "r-1"]


def test_lines_below_the_level_are_left_out(stream: io.StringIO) -> None:
    structlog.get_logger().debug("ours")
    logging.getLogger("theirs").debug("theirs")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("name", ["uvicorn.error", "alembic.runtime", "arq.worker"])
def test_libraries_speak_through_the_same_stream(
    stream: io.StringIO, name: str
) -> None:
    logging.getLogger(name).warning("hello %s", "there")
    [line] = lines(stream)
    assert (line["event"], line["logger"]) == ("hello there", name)


def test_handlers_that_a_library_made_are_removed() -> None:
    own = io.StringIO()
    logger = logging.getLogger("uvicorn")
    logger.addHandler(logging.StreamHandler(own))
    logger.propagate = False
    stream = io.StringIO()
    configure_logging("INFO", "json", stream=stream)
    logging.getLogger("uvicorn.error").warning("trouble")
    assert len(lines(stream)) == 1
    assert own.getvalue() == ""


@pytest.mark.parametrize(
    "name", ["sqlalchemy.engine", "uvicorn.access", "httpx", "arq.worker"]
)
def test_chatter_of_libraries_is_left_out_and_their_warnings_are_not(
    stream: io.StringIO, name: str
) -> None:
    logging.getLogger(name).info("chatter")
    logging.getLogger(name).warning("trouble")
    assert [line["event"] for line in lines(stream)] == ["trouble"]


def test_warnings_are_log_lines(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        configure_logging("INFO", "json", stream=stream)
        warnings.warn("old way", UserWarning, stacklevel=1)
    [line] = lines(stream)
    assert line["logger"] == "py.warnings"
    assert "old way" in line["event"]


def test_configuring_again_replaces_what_was_set(stream: io.StringIO) -> None:
    second = io.StringIO()
    configure_logging("ERROR", "json", stream=second)
    structlog.get_logger().warning("no")
    structlog.get_logger().error("yes")
    assert stream.getvalue() == ""
    assert [line["event"] for line in lines(second)] == ["yes"]


def test_an_error_in_json_carries_its_traceback_in_one_line(
    stream: io.StringIO,
) -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        structlog.get_logger().exception("failed")
    [line] = lines(stream)
    assert line["exception"].startswith("Traceback")
    assert "ValueError: a\nb" in line["exception"]


@pytest.mark.parametrize(
    "value",
    [object(), {1: {2, 3}}, b"\xff", "\ud800", 2**70, [float("nan")], {(1, 2): 3}],
)
def test_any_value_can_be_logged(
    stream: io.StringIO, console: io.StringIO, value: object
) -> None:
    structlog.get_logger().info("odd", value=value)
    assert console.getvalue().count("\n") == 1
    configure_logging("INFO", "json", stream=stream)
    structlog.get_logger().info("odd", value=value)
    assert len(lines(stream)) == 1


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_text_from_outside_forges_a_line_or_steers_a_terminal(
    log_format: str,
) -> None:
    stream = io.StringIO()
    configure_logging("INFO", log_format, stream=stream)
    structlog.get_logger().info(HOSTILE, path=HOSTILE, **{HOSTILE: [HOSTILE]})
    logging.getLogger("uvicorn.error").warning("%s", HOSTILE)
    text = stream.getvalue()
    assert text.count("\n") == 2
    assert set(HOSTILE).isdisjoint(set(text) - set("abc[31mred\n"))
    assert "\\u001b[31mred" in text


def test_json_keeps_the_text_it_escapes(stream: io.StringIO) -> None:
    structlog.get_logger().info("odd", path=HOSTILE)
    assert lines(stream)[0]["path"] == HOSTILE


def test_a_message_in_a_traceback_cannot_pass_for_a_line(console: io.StringIO) -> None:
    try:
        raise ValueError("x\n2026-01-01 [info] all is well \x1b[2J")
    except ValueError:
        structlog.get_logger().exception("failed")
    first, *rest = console.getvalue().splitlines()
    assert "failed" in first
    assert all(line.startswith("    ") for line in rest if line)
    assert "\x1b" not in console.getvalue()


@pytest.mark.parametrize(
    ("log_format", "stream", "is_json"),
    [
        ("auto", io.StringIO(), True),
        ("auto", Terminal(), False),
        ("json", Terminal(), True),
        ("console", io.StringIO(), False),
    ],
)
def test_people_at_a_terminal_and_programs_elsewhere(
    log_format: str, stream: io.StringIO, is_json: bool
) -> None:
    configure_logging("INFO", log_format, stream=stream)
    structlog.get_logger().info("hello")
    assert stream.getvalue().startswith("{") == is_json
