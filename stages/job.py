"""What a stage is given (the run, what holds for it, how to report and stop) and gives back."""

import os
import socket
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from data import tables
from data.report import Report
from stages.budget import Budget
from stages.engines import ModelConfig, Prefix

Key = tuple[Any, ...]
"""(sample_id, caption_index, rollout_index), as far as a table has them."""


def default_worker() -> str:
    """A name for this process, such as `node7-4711`."""
    return f"{socket.gethostname()}-{os.getpid()}"


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One row to make."""

    key: Key
    group: Hashable
    """Rows of a group are made together, so a group of which one is missing is made again."""
    item: Any
    """What the row is made from."""
    prefix: Prefix | None = None
    """What an attempt that was stopped had written of it."""
    made: Any = None
    """The row itself, where it is there already and only has to be taken into the table."""


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
    worker: str = field(default_factory=default_worker)
    """Our name among those who work on this stage."""
    lease_seconds: float = 60.0
    """A worker that shows no sign of life for longer loses its shards to others."""
    redo: Literal["errors", "length"] | None = None
    """Rows to make again although they are there: failed ones, or those cut off by max_tokens."""
    follow: bool = False
    """Wait for shards of the input tables that are not there yet, instead of failing."""
    inputs: Mapping[str, tables.Metadata] = field(default_factory=dict)
    """What the input tables that are followed will say of themselves when they are up to date."""
    dry_run: bool = False
    """Say what there is to do, and do none of it. Training can."""
    reshard: bool = False
    """Convert the newest checkpoint for another number of ranks, and train nothing."""
    budget: Budget = field(default_factory=Budget)
    """The time there is."""
    started_at: float = field(default_factory=time.time)
    """Unix time. What was finished later need not be made again by us."""
    borrowed: dict[str, Any] = field(default_factory=dict)
    """Dotted key -> value: what the stage's `settings_read` names of other stages' settings."""

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
