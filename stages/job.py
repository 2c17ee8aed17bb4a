"""What a stage is given (the run, what holds for it, how to report and stop) and gives back."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data import tables
from data.report import Report
from stages.engines import ModelConfig

Key = tuple[Any, ...]
"""(sample_id, caption_index, rollout_index), as far as a table has them."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One row to make."""

    key: Key
    group: Hashable
    """Rows of a group are made together, so a group of which one is missing is made again."""
    item: Any
    """What the row is made from."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One attempt at one stage of a run."""

    stage: str
    run_dir: Path
    seed: int
    models: dict[str, ModelConfig]
    metadata: tables.Metadata
    """What the shards written will say of themselves: stage, digest, settings."""
    report: Report
    should_stop: Callable[[], bool] = field(default=lambda: False)
    """Turns true on a signal: stop taking work, commit, return."""
    commit_seconds: float = 20.0
    """A row waits at most this long until it is on disk."""

    def folder(self, table: str) -> Path:
        """The folder of one of the run's tables."""
        return self.run_dir / table


@dataclass(kw_only=True)
class Outcome:
    """What an attempt at a stage came to."""

    rows: int = 0
    """Rows of the complete output, earlier attempts included."""
    errors: int = 0
    """How many of them are failed rows."""
    complete: bool = True
    """False: stopped early, resumable."""
    figures: dict[str, Any] = field(default_factory=dict)
    """What the stage found, for people and for --json."""
