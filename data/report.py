"""Where progress goes: a bar on a terminal, lines in a file, nowhere in tests."""

from collections.abc import Callable, Mapping
from typing import Protocol


class Report(Protocol):
    """Where progress goes."""

    def start(self, what: str, total: int, done: int, table: str | None = None) -> None:
        """Begin a bar of `total` rows, `done` of which are there already.

        Args:
            what: is done.
            total: rows when it is done.
            done: rows that are there.
            table: of the run, in which they are counted from outside; None: in none.
        """
        ...

    def advance(
        self,
        *,
        rows: int = 0,
        tokens: int = 0,
        errors: int = 0,
        kept_tokens: int = 0,
        lost_tokens: int = 0,
    ) -> None:
        """Count what was done.

        Args:
            rows: rows made.
            tokens: tokens in them.
            errors: how many of them failed.
            kept_tokens: tokens of answers that a stop cut short, which will be continued.
            lost_tokens: tokens generated that are in no row.
        """
        ...

    def watch(self, figures: Callable[[], Mapping[str, float]]) -> None:
        """Ask for these figures, such as an engine's `running_requests`, when progress is shown."""
        ...

    def note(self, text: str) -> None:
        """Say something in passing."""
        ...
