"""What a person sees meanwhile: a bar on a terminal, a few lines elsewhere."""

from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from app.cli.predict.job import Estimate, RowReason

_REASONS_SHOWN: Final = 5
# Leaves room for the numbers on a terminal of 80 letters.
_BAR_LETTERS: Final = 20


class Display:
    """On the standard error, so that the standard output holds the result alone."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    def say(self, text: str) -> None:
        self.clear()
        self._console.print(text, markup=False)

    def sending(self, size_bytes: int | None) -> None:
        self._show(
            "Sending",
            size_bytes,
            BarColumn(_BAR_LETTERS),
            DownloadColumn(),
            TransferSpeedColumn(),
        )

    def scoring(self, rows: int | None) -> None:
        columns = (
            BarColumn(_BAR_LETTERS),
            TextColumn("{task.fields[counted]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        )
        self._show("Scoring", rows, *columns)

    def sent(self, size_bytes: int) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, size_bytes)

    def rows(self, done: int, total: int) -> None:
        if self._bar is None or self._task is None:
            return
        total = max(total, done)
        counted = f"{done:,} of {total:,} rows"
        if speed := self._bar.tasks[self._task].speed:
            counted += f", {speed:,.0f}/s"
        self._bar.update(self._task, completed=done, total=total, counted=counted)

    def summary(
        self, rows: int, failed: int, reasons: Sequence[RowReason], more: str
    ) -> None:
        if not failed:
            self.say(f"{rows:,} rows scored.")
            return
        self.say(f"{rows - failed:,} rows scored, {failed:,} failed:")
        shown = reasons[:_REASONS_SHOWN]
        for reason in shown:
            self.say(f"  {reason}")
        if failed > len(shown):
            self.say(f"  … and {failed - len(shown):,} more{more}")

    def estimate(self, told: Estimate) -> None:
        seconds = f"{max(told.seconds, 0.1):,.1f}"
        self.say(
            f"About {told.rows:,} rows, {seconds} s of one worker, and a "
            f"result of {decimal(told.result_bytes)}. The first predictions:"
        )

    def clear(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None

    def _show(self, what: str, total: int | None, *columns: ProgressColumn) -> None:
        self.clear()
        if not self._console.is_terminal:
            return
        self._bar = Progress(
            TextColumn(what), *columns, console=self._console, transient=True
        )
        self._task = self._bar.add_task(what, total=total, counted="")
        self._bar.start()
