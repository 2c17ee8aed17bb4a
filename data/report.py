"""Where progress goes: a bar on a terminal, lines in a file, nowhere in tests."""

from typing import Protocol


class Report(Protocol):
    """Where progress goes."""

    def start(self, what: str, total: int, done: int) -> None:
        """Begin a bar of `total` rows, `done` of which are there already."""
        ...

    def advance(self, *, rows: int = 0, tokens: int = 0, errors: int = 0) -> None:
        """Count what was done."""
        ...

    def note(self, text: str) -> None:
        """Say something in passing."""
        ...
