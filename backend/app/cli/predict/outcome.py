"""How `mlforge predict` ends, as its exit status says."""

from enum import IntEnum


class Exit(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    BAD_INPUT = 6
    UNAVAILABLE = 7
    INTERRUPTED = 130


class Stopped(Exception):
    """What ends the command early; the text is for a person."""

    def __init__(self, status: Exit, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def status_of(http_status: int) -> Exit:
    """The exit status of an error that an HTTP status tells."""
    if http_status == 404:
        return Exit.NOT_FOUND
    if http_status in {502, 503, 504}:
        return Exit.UNAVAILABLE
    return Exit.BAD_INPUT if http_status < 500 else Exit.FAILED
