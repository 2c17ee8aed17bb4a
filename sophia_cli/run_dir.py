"""Where everything of a run lies, what it was made with, and how far it is: from files alone."""

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data import tables
from data.errors import InputError
from sophia_cli.config import RunConfig, section, section_name, stage_module, stage_settings
from sophia_cli.pulse import read_pulses
from stages import STAGES
from stages.funnel import FUNNEL
from stages.identity import identify
from stages.job import default_worker

STAGE_SECTIONS = frozenset(map(section_name, STAGES))
WRITES = {
    "caption": "captions",
    "reason": "rollouts",
    "verify": "verdicts",
    "judge": "thinking",
}
TABLES = (
    *("samples", "captions", "probes", "rollouts", "verdicts", "thinking"),
    *("rewards", "trajectories"),
)
OPTIONAL_TABLES = frozenset({"probes", "thinking"})
"""Of which nothing is said where they are not."""


LOCK_SECONDS = 5.0
"""A lock as old as that was left by a worker that was killed."""


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Keep other stages, which may run at once, from what is read, changed and written here."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            lock.touch(exist_ok=False)
            break
        except FileExistsError:
            if time.monotonic() > deadline:
                lock.unlink(missing_ok=True)
                deadline = time.monotonic() + LOCK_SECONDS
            time.sleep(0.01)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


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

        Sections of other stages stay as they were when those ran.
        """
        resolved = config.model_dump(mode="json")
        own = section_name(metadata.stage)
        with alone(self.root / ".config.json.lock"):
            saved = self.saved_config()
            others = STAGE_SECTIONS - {own}
            resolved |= {name: kept for name, kept in saved["config"].items() if name in others}
            content = {
                "config": resolved,
                "digests": saved["digests"] | {metadata.stage: metadata.digest},
            }
            temporary = self.root / f".config.json.{uuid.uuid4().hex}"
            temporary.write_text(json.dumps(content, indent=2) + "\n")
            temporary.replace(self.root / "config.json")

    def status(self) -> dict[str, Any]:
        """How far each table is, from file names and footers.

        Raises:
            InputError: there is no such folder.
        """
        if not self.root.is_dir():
            self.require()
        status: dict[str, Any] = {"run": str(self.root), "tables": {}, "evals": {}}
        total = None
        for name in TABLES:
            if name in OPTIONAL_TABLES and not (self.root / name).is_dir():
                continue
            table = table_status(self.root / name, total)
            total = table["num_shards"] or total
            status["tables"][name] = table
        status["checkpoints"] = self._checkpoints()
        status["funnel"] = self._funnel()
        status["workers"] = [pulse for pulse in read_pulses(self.pulse_folder) if is_recent(pulse)]
        status["evaluating"] = self._evaluating()
        status["stages"] = stage_rates(
            status["workers"], status["tables"], list(status["evaluating"].values())
        )
        for results in sorted((self.root / "evals").glob("*/results.json")):
            status["evals"][results.parent.name] = json.loads(results.read_text())
        return status

    def _checkpoints(self) -> dict[str, Any]:
        steps = sorted((self.root / "checkpoints").glob("step-*"))
        return {
            "steps": [path.name for path in steps],
            "final": (self.root / "checkpoints" / "final").is_dir(),
        }

    def _evaluating(self) -> dict[str, dict[str, Any]]:
        """Evaluations that are not complete, those touched last at the end."""
        folders = [path for path in (self.root / "evals").glob("*") if path.is_dir()]
        folders.sort(key=lambda path: path.stat().st_mtime)
        return {
            path.name: table_status(path, None) for path in folders if not tables.is_complete(path)
        }

    def _funnel(self) -> dict[str, int]:
        """Samples to trajectories; empty before rewards are there."""
        funnel = Counter[str]()
        for path in tables.shards(self.root / "rewards"):
            if metadata := tables.read_metadata(path):
                funnel.update(metadata.figures)
        return {name: funnel[name] for name in FUNNEL} if funnel else {}


def is_recent(pulse: dict[str, Any]) -> bool:
    """Whether an attempt still works, failed or died; those that ended well are of no interest."""
    return bool(pulse["state"] != "ended")


def stage_rates(
    workers: list[dict[str, Any]],
    found: dict[str, dict[str, Any]],
    evaluating: list[dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    """What the workers of each stage do together, and when they will be done.

    Of an evaluation that is for the benchmark under way, not for those after it.
    """
    rates: dict[str, dict[str, Any]] = {}
    found = found | ({"evals": evaluating[-1]} if evaluating else {})
    for stage, table in (WRITES | ({"eval": "evals"} if evaluating else {})).items():
        alive = [pulse for pulse in workers if pulse["stage"] == stage and pulse["is_alive"]]
        if not alive:
            continue
        if stage == "reason" and "probes" in found and not _is_whole(found["probes"]):
            table = "probes"  # the first of two passes, where there are two teachers
        rows = found[table]["rows"] + found[table]["rows_under_way"]
        total = max(pulse["total"] for pulse in alive)
        speed = sum(pulse["rows_per_second"] for pulse in alive)
        rates[stage] = {
            "workers": len(alive),
            "rows": rows,
            "total": total,
            "rows_per_second": round(speed, 2),
            "tokens_per_second": round(sum(pulse["tokens_per_second"] for pulse in alive), 1),
            "eta_seconds": round((total - rows) / speed) if speed and total >= rows else None,
        }
    for pulse in workers:
        if pulse["stage"] == "train" and pulse["is_alive"]:
            speed, left = pulse["rows_per_second"], pulse["total"] - pulse["done"]
            rates["train"] = {
                "workers": 1,
                "rows": pulse["done"],
                "total": pulse["total"],
                "rows_per_second": speed,
                "tokens_per_second": pulse["tokens_per_second"],
                "eta_seconds": round(left / speed) if speed else None,
            }
    return rates


def _is_whole(table: dict[str, Any]) -> bool:
    return bool(table["finished_shards"] == table["num_shards"])


def table_status(folder: Path, num_shards: int | None) -> dict[str, Any]:
    """Shards, rows, errors and tokens of one table; rows of parts count as under way."""
    finished = tables.shards(folder)
    done = _all_metadata(finished)
    parts = sorted(folder.glob(".parts/*/[!.]*.parquet"))
    under_way = _all_metadata(parts)
    outcomes, error_kinds = Counter[str](), Counter[str]()
    for metadata in done + under_way:
        outcomes.update(metadata.outcomes)
        error_kinds.update(metadata.error_kinds)
    unfinished = outcomes.pop("unfinished", 0)
    return {
        "num_shards": tables.shard_count(folder) if finished else num_shards,
        "finished_shards": len(finished),
        "rows": sum(map(tables.count_rows_of_part, finished)),
        "rows_under_way": sum(map(tables.count_rows_of_part, parts)) - unfinished,
        "errors": sum(metadata.num_errors for metadata in done + under_way),
        "error_kinds": dict(error_kinds),
        "outcomes": dict(outcomes),
        "tokens": sum(metadata.num_tokens for metadata in done + under_way),
        "tokens_kept": sum(metadata.kept_tokens for metadata in under_way),
        "seconds": round(sum(metadata.seconds for metadata in done), 1),
    }


def _all_metadata(paths: list[Path]) -> list[tables.Metadata]:
    """What files say of themselves; those of other tools, and those just renamed, say nothing."""
    found = []
    for path in paths:
        try:
            metadata = tables.read_metadata(path)
        except InputError:
            if path.exists():
                raise
            continue
        if metadata:
            found.append(metadata)
    return found


def stage_order(config: RunConfig) -> list[str]:
    """The stages of a whole run in order; without captions or a judge where nothing needs them."""
    left_out = set()
    if "captions" not in stage_module("reason").tables_read(config.reason):
        left_out.add("caption")
    if config.models.judge.path is None:
        left_out.add("judge")
    return [stage for stage in STAGES if stage not in left_out]
