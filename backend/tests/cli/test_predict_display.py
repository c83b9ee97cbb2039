"""What a person sees of a file that is scored, on a terminal and elsewhere."""

import io

from rich.console import Console

from app.cli.predict.display import Display
from app.cli.predict.job import RowReason


def shown(*, is_terminal: bool) -> str:
    screen = io.StringIO()
    console = Console(
        file=screen, force_terminal=is_terminal, width=80, highlight=False
    )
    with Display(console) as display:
        display.sending(100)
        display.sent(50)
        display.sending(None)
        display.sent(50)
        display.scoring(None)
        display.rows(600, 1000)
        display.rows(1234, 1000)
        display.say("done [so far]")
    return screen.getvalue()


def test_a_terminal_shows_how_many_rows_are_done() -> None:
    screen = shown(is_terminal=True)
    assert "Sending" in screen
    assert "1,234 of 1,234 rows" in screen
    assert "done [so far]" in screen


def test_elsewhere_nothing_but_lines_is_shown() -> None:
    assert shown(is_terminal=False) == "done [so far]\n"


def test_the_first_reasons_are_told_and_the_others_counted() -> None:
    screen = io.StringIO()
    display = Display(Console(file=screen, width=80))
    reasons = [RowReason(line, "age", "it is [bold]") for line in range(2, 22)]
    display.summary(1000, 30, reasons, ": http://here/errors")
    assert screen.getvalue().splitlines() == [
        "970 rows scored, 30 failed:",
        *[f"  line {line}, column age: it is [bold]" for line in range(2, 7)],
        "  … and 25 more: http://here/errors",
    ]
