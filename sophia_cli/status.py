"""How far a run is and who works on it, from files alone: names, footers and signs of life."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from data import tables
from data.errors import InputError
from sophia_cli.pulse import read_pulses
from sophia_cli.run_dir import OPTIONAL_TABLES, RunDir
from stages.eval_results import JUDGED
from stages.funnel import FUNNEL

TABLES = (
    *("samples", "captions", "probes", "rollouts", "verdicts", "thinking"),
    *("rewards", "trajectories"),
)


def read_status(run: RunDir) -> dict[str, Any]:
    """How far each table is, evaluations and what a model judges of them included.

    Raises:
        InputError: there is no such folder.
    """
    if not run.root.is_dir():
        run.require()
    found: dict[str, dict[str, Any]] = {}
    total = None
    for name in TABLES:
        if name in OPTIONAL_TABLES and not (run.root / name).is_dir():
            continue
        found[name] = table_status(run.root / name, total)
        total = found[name]["num_shards"] or total
    workers = [pulse for pulse in read_pulses(run.pulse_folder) if is_recent(pulse)]
    evaluations = sorted(path for path in (run.root / "evals").glob("*") if path.is_dir())
    evaluating, judging = _evaluating(evaluations), _judging(evaluations)
    under_way = {f"evals/{name}": table for name, table in evaluating.items()}
    under_way |= {f"evals/{name}/{JUDGED}": table for name, table in judging.items()}
    return {
        "run": str(run.root),
        "tables": found,
        "evals": {
            path.name: json.loads((path / "results.json").read_text())
            for path in evaluations
            if (path / "results.json").exists()
        },
        "checkpoints": _checkpoints(run.root / "checkpoints"),
        "funnel": _funnel(run.root / "rewards"),
        "workers": workers,
        "evaluating": evaluating,
        "judging": judging,
        "stages": stage_rates(workers, found | under_way),
    }


def _evaluating(evaluations: list[Path]) -> dict[str, dict[str, Any]]:
    """Evaluations whose questions are not all answered."""
    return {
        path.name: table_status(path, None) for path in evaluations if not tables.is_complete(path)
    }


def _judging(evaluations: list[Path]) -> dict[str, dict[str, Any]]:
    """Evaluations whose answers a model has begun to judge, and not finished; with their number."""
    return {
        path.name: table_status(path / JUDGED, tables.shard_count(path))
        | {"total": tables.count_rows(path)}
        for path in evaluations
        if tables.is_complete(path)
        and (path / JUDGED).is_dir()
        and not tables.is_complete(path / JUDGED)
    }


def _checkpoints(folder: Path) -> dict[str, Any]:
    return {
        "steps": [path.name for path in sorted(folder.glob("step-*"))],
        "final": (folder / "final").is_dir(),
    }


def _funnel(rewards: Path) -> dict[str, int]:
    """Samples to trajectories; empty before rewards are there."""
    funnel = Counter[str]()
    for path in tables.shards(rewards):
        if metadata := tables.read_metadata(path):
            funnel.update(metadata.figures)
    return {name: funnel[name] for name in FUNNEL} if funnel else {}


def is_recent(pulse: dict[str, Any]) -> bool:
    """Whether an attempt still works, failed or died; those that ended well are of no interest."""
    return bool(pulse["state"] != "ended")


def stage_rates(
    workers: list[dict[str, Any]], found: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What the workers of each stage do together, and when they will be done.

    That is for the table that most of them are at: of an evaluation the benchmark under way, or
    what a model judges of it, and not what comes after.

    Args:
        workers: their signs of life.
        found: table -> how far it is, those that are not complete at least.
    """
    rates: dict[str, dict[str, Any]] = {}
    alive = [pulse for pulse in workers if pulse["is_alive"]]
    for stage in dict.fromkeys(pulse["stage"] for pulse in alive):
        ours = [pulse for pulse in alive if pulse["stage"] == stage]
        if stage == "train":  # one command, whatever its ranks; no table, but a plan at first
            rates[stage] = _rate(ours[-1:], ours[-1]["table"], ours[-1]["done"])
            continue
        at = Counter(pulse["table"] for pulse in ours if pulse.get("table") in found)
        if not at:
            continue
        ((table, _),) = at.most_common(1)
        rows = found[table]["rows"] + found[table]["rows_under_way"]
        rates[stage] = _rate([pulse for pulse in ours if pulse["table"] == table], table, rows)
    return rates


def _rate(workers: list[dict[str, Any]], table: str | None, rows: int) -> dict[str, Any]:
    total = max(pulse["total"] for pulse in workers)
    speed = sum(pulse["rows_per_second"] for pulse in workers)
    return {
        "table": table,
        "workers": len(workers),
        "rows": rows,
        "total": total,
        "rows_per_second": round(speed, 2),
        "tokens_per_second": round(sum(pulse["tokens_per_second"] for pulse in workers), 1),
        "eta_seconds": round((total - rows) / speed) if speed and total >= rows else None,
    }


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
