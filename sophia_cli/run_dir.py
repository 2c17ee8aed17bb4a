"""Where everything of a run lies, and what it was made with."""

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data import tables
from data.errors import InputError
from data.files import write_whole
from sophia_cli.config import RunConfig
from sophia_cli.stage_settings import section, section_name, stage_module, stage_settings
from stages import STAGES
from stages.identity import identify
from stages.job import default_worker

WRITES = {
    "caption": "captions",
    "reason": "rollouts",
    "verify": "verdicts",
    "judge": "thinking",
}
OPTIONAL_TABLES = frozenset({"probes", "thinking"})
"""Of which nothing is said where they are not."""


LOCK_SECONDS = 5.0
"""A lock that stays the same for that long was left by a worker that was killed."""


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Keep other stages, which may run at once, from what is read, changed and written here."""
    seen, since = None, time.monotonic()
    while True:
        try:
            lock.touch(exist_ok=False)
            break
        except FileExistsError:
            found = _identity(lock)
            if found != seen:
                seen, since = found, time.monotonic()
            elif time.monotonic() - since > LOCK_SECONDS:
                _remove(lock, found)
            time.sleep(0.01)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _identity(lock: Path) -> tuple[int, int] | None:
    """Which lock this is; None: it is gone."""
    try:
        found = lock.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _remove(lock: Path, identity: tuple[int, int] | None) -> None:
    """Take a lock away, but not the next one, which another waiting worker has made meanwhile."""
    aside = lock.with_name(f"{lock.name}.{uuid.uuid4().hex}")
    with contextlib.suppress(FileNotFoundError):
        lock.rename(aside)
        if _identity(aside) != identity:
            with contextlib.suppress(FileExistsError):
                os.link(aside, lock)
        aside.unlink()


@dataclass(frozen=True)
class RunDir:
    """A run's folder."""

    root: Path

    def require(self) -> None:
        """Check that there is a run.

        Raises:
            InputError: the folder is missing or holds no samples.
        """
        if not tables.shards(self.root / "samples"):
            state = "holds no samples" if self.root.is_dir() else "does not exist"
            raise InputError(
                f"The run {self.root} {state}.",
                f"Fill it first: sophia ingest SOURCE --run {self.root}",
            )

    def require_for(self, config: RunConfig, stage: str) -> None:
        """Check that there is a run, or make an empty one for a stage that needs no samples.

        Raises:
            InputError: the folder is missing or holds no samples.
        """
        module = stage_module(stage) if stage in STAGES else None
        needs_none = getattr(module, "works_without_samples", lambda own: False)
        if module and needs_none(section(config, stage)):
            self.root.mkdir(parents=True, exist_ok=True)
        else:
            self.require()

    def log_path(self, stage: str) -> Path:
        """A fresh log file for one attempt at a stage."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        path = self.root / "logs" / f"{stage}-{stamp}-{default_worker()}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def pulse_folder(self) -> Path:
        """Where attempts leave their signs of life."""
        return self.root / "metrics" / "attempts"

    def metadata(self, config: RunConfig, stage: str) -> tables.Metadata:
        """What the stage's output will say of itself: its settings and inputs, and their digest."""
        own = section(config, stage)
        settings = stage_settings(config, stage)
        growing = {f"{section_name(stage)}.{key}": getattr(own, key) for key in own.GROWING}
        inputs = [self.root / name for name in stage_module(stage).tables_read(own)]
        return identify(stage, settings, growing, inputs)

    def saved_config(self) -> dict[str, Any]:
        """What `config.json` holds: `config` and `digests`."""
        path = self.root / "config.json"
        return json.loads(path.read_text()) if path.exists() else {"config": {}, "digests": {}}

    def save_config(self, config: RunConfig, metadata: tables.Metadata) -> None:
        """Record what a stage runs with: the resolved configuration and the stage's digest.

        Sections of other stages that ran stay as they were then.
        """
        resolved = config.model_dump(mode="json")
        own = section_name(metadata.stage)
        with alone(self.root / ".config.json.lock"):
            saved = self.saved_config()
            others = set(map(section_name, saved["digests"])) - {own}
            resolved |= {name: kept for name, kept in saved["config"].items() if name in others}
            content = {
                "config": resolved,
                "digests": saved["digests"] | {metadata.stage: metadata.digest},
            }
            write_whole(self.root / "config.json", json.dumps(content, indent=2) + "\n")


def stage_order(config: RunConfig) -> list[str]:
    """The stages of a whole run in order; without captions or a judge where nothing needs them."""
    left_out = set()
    if "captions" not in stage_module("reason").tables_read(config.reason):
        left_out.add("caption")
    if config.models.judge.path is None:
        left_out.add("judge")
    return [stage for stage in STAGES if stage not in left_out]
