"""Errors a user can act on: what is wrong, what to do, and the exit code that says so.

SophiaError
 +-- ConfigError     2   a wrong command line or setting
 +-- RefusedError    3   the output on disk was made with other settings or inputs
 +-- InputError      5   an input is missing or invalid
 +-- EngineError     6   the engine failed repeatedly
 +-- Stopped        75   stopped early on a signal, resumable

Anything else that is raised is a bug and keeps its traceback.
"""

from typing import ClassVar


class SophiaError(Exception):
    """Something the user can put right.

    Args:
        what: one sentence that says what is wrong.
        remedy: one sentence that says what to do.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}"


class ConfigError(SophiaError):
    """A wrong command line, key or value."""

    exit_code = 2


class RefusedError(SophiaError):
    """The output on disk was made with other settings or inputs."""

    exit_code = 3


class InputError(SophiaError):
    """An input is missing or invalid."""

    exit_code = 5


class EngineError(SophiaError):
    """The engine failed repeatedly, or could not start."""

    exit_code = 6


class Stopped(SophiaError):
    """Stopped early on a signal or time budget; the same command continues."""

    exit_code = 75
