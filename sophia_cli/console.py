"""What a person sees: progress on standard error, results on standard output, errors to act on.

On a terminal progress is a live bar; in a file it is a line every 30 seconds, and so it is in the
log of the attempt.
"""

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from data.errors import SophiaError

LINE_SECONDS = 30.0
RATES_SECONDS = 0.5
"""Rates on a terminal are worked out no more often than that."""

logger = logging.getLogger(__name__)

out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


class ConsoleReport:
    """Progress of one stage, with rates and the time that is left."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self.stage, self.total, self.done = "", 0, 0
        self.table: str | None = None
        self.before = 0
        self.counts = Counter[str]()
        self.figures: Callable[[], Mapping[str, float]] = dict
        self.started = self.last_line = time.monotonic()
        self.first_row: float | None = None
        self.last_rates = 0.0

    def start(self, what: str, total: int, done: int, table: str | None = None) -> None:
        """Begin a bar of `total` rows, `done` of which are there already."""
        self.close()
        self.stage, self.total, self.done, self.before = what, total, done, done
        self.table = table
        self.counts.clear()
        self.figures = dict
        self.started = self.last_line = time.monotonic()
        self.first_row = None
        if err.is_terminal:
            self.progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("eta"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[rates]}"),
                console=err,
            )
            self.progress.start()
            self.task = self.progress.add_task(what, total=total, completed=done, rates="")
        self._line()

    def advance(
        self,
        *,
        rows: int = 0,
        tokens: int = 0,
        errors: int = 0,
        kept_tokens: int = 0,
        lost_tokens: int = 0,
    ) -> None:
        """Count what was done."""
        self.done += rows
        self.counts["rows"] += rows
        self.counts["tokens"] += tokens
        self.counts["errors"] += errors
        self.counts["kept_tokens"] += kept_tokens
        self.counts["lost_tokens"] += lost_tokens
        self.first_row = self.first_row or time.monotonic()
        now = time.monotonic()
        if self.progress and now - self.last_rates > RATES_SECONDS:
            self.last_rates = now
            self.progress.update(self.task, completed=self.done, rates=self._rates())
        self.tick()

    def tick(self) -> None:
        """Print a line where the last one is old, though nothing may have been done since."""
        if self.stage and time.monotonic() - self.last_line > LINE_SECONDS:
            self._line()

    def watch(self, figures: Callable[[], Mapping[str, float]]) -> None:
        """Show these figures beside the rates."""
        self.figures = figures

    def note(self, text: str) -> None:
        """Say something in passing."""
        logger.info("%s", text)
        err.print(text, style="dim", markup=False)

    def close(self) -> None:
        """End the bar, or print the last line."""
        if self.stage and self.done != self.before:
            self._line()
        if self.progress:
            self.progress.update(self.task, completed=self.done, rates=self._rates())
            self.progress.stop()
            self.progress = None
        self.stage, self.table = "", None

    def _rates(self) -> str:
        seconds = time.monotonic() - self.started
        parts = [f"{self.counts['tokens'] / seconds:,.0f} tok/s"] if self.counts["tokens"] else []
        parts += [f"{self.counts['errors']} errors"] if self.counts["errors"] else []
        for name, figure in self.figures().items():
            parts.append(f"{name.removesuffix('_rate').replace('_', ' ')} {_shown(name, figure)}")
        return "  ".join(parts)

    def _line(self) -> None:
        self.last_line = time.monotonic()
        line = f"{self.stage} {self.done}/{self.total}"
        fresh = self.done - self.before
        # From the first row on: before it the model was loaded, which happens once.
        seconds = self.last_line - (self.first_row or self.last_line)
        if fresh > 1 and seconds:
            left = (self.total - self.done) * seconds / (fresh - 1)
            line += f"  {fresh / seconds:,.1f} rows/s  eta {format_seconds(left)}"
        line = f"{line}  {self._rates()}".rstrip()
        logger.info("%s", line)
        if not self.progress:
            err.print(line, markup=False)


def _shown(name: str, figure: float) -> str:
    """A share in percent, a count whole, anything else to three digits."""
    if name.endswith("_rate"):
        return f"{100 * figure:.0f} %"
    whole = float(figure).is_integer() or abs(figure) >= 100
    return f"{figure:,.0f}" if whole else f"{figure:.3g}"


def format_seconds(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def clear_screen() -> None:
    """Begin at the top again, on a terminal."""
    out.clear()


def print_json(content: Any) -> None:
    """One JSON object on standard output, and nothing else."""
    sys.stdout.write(json.dumps(content, indent=2) + "\n")


def print_error(error: SophiaError) -> None:
    """What is wrong, and what to do."""
    err.print(f"[bold red]Error:[/] {_plain(error.what)}\n{_plain(error.remedy)}")


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table of text on standard output; all but the first column are right-aligned."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    out.print(table)
