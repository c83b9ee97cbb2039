"""One stream of log lines for ours and every library's: readable or JSON.

No text from outside can forge a line or steer a terminal: control characters, and
the marks that turn the direction of writing, are always shown escaped. API keys are
left out of every line.
"""

import json
import logging
import re
import sys
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.kit.redaction import without_keys

_INVISIBLE = r"\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSAFE_IN_JSON = re.compile(f"[{_INVISIBLE}]")
_UNSAFE_ON_TERMINAL = re.compile(f"[\x00-\x1f{_INVISIBLE}]")
_UNSAFE_IN_TRACEBACK = re.compile(f"[\x00-\x08\x0b-\x1f{_INVISIBLE}]")

# Libraries that put handlers of their own on these, and how much of them is news.
_LIBRARY_LEVELS = {
    "uvicorn": logging.WARNING,  # What it tells of its start, we tell.
    "uvicorn.error": logging.WARNING,
    "uvicorn.access": logging.WARNING,  # Requests have a line of ours.
    "uvicorn.asgi": logging.WARNING,
    "arq": logging.WARNING,
    "arq.worker": logging.WARNING,  # Two lines of INFO for every ring.
    "alembic": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "aiosqlite": logging.WARNING,
    "asyncio": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "python_multipart": logging.ERROR,  # Warns of each body that a caller broke.
}


def configure_logging(
    level: str, log_format: str, *, stream: TextIO | None = None
) -> None:
    """Sends structlog, the logging module and warnings through one formatter.

    `log_format`: console, json, or auto: console when the stream (stderr unless
    given) is a terminal. Calling it again replaces what an earlier call set.
    """
    stream = sys.stderr if stream is None else stream
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(console=console, colors=stream.isatty()))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name, least in _LIBRARY_LEVELS.items():
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(max(least, root.level))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def _shared() -> list[Processor]:
    """What happens to every line, wherever it comes from."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _formatter(*, console: bool, colors: bool) -> logging.Formatter:
    ending: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
    ]
    if console:
        ending += [_escape_for_terminal, structlog.dev.ConsoleRenderer(colors=colors)]
    else:
        ending.append(_render_json)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(), processors=ending
    )


def _render_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    try:
        text = orjson.dumps(event, repr, orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # Lone surrogates, integers past 64 bits, tuples as keys.
        text = json.dumps({str(name): _plain(value) for name, value in event.items()})
    return _UNSAFE_IN_JSON.sub(_escaped, without_keys(text))


def _plain(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


def _escape_for_terminal(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    traceback = event.pop("exception", None)
    safe = {_safe(key): _safe(value) for key, value in event.items()}
    if isinstance(traceback, str):
        # Indented, so that no line of a message passes for a log line.
        text = _UNSAFE_IN_TRACEBACK.sub(_escaped, without_keys(traceback))
        safe["exception"] = "    " + text.replace("\n", "\n    ")
    return safe


def _safe(value: Any) -> Any:
    if isinstance(value, bool | int | float | None):
        return value
    return _UNSAFE_ON_TERMINAL.sub(_escaped, without_keys(str(value)))


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"
