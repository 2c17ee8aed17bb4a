"""The whole story on the built-in world: ingest, evaluate the base, all stages, evaluate again."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data import tables
from data.ingest import ingest
from data.records import Attempted
from data.world import PREFIX
from sophia_cli.config import RunConfig
from sophia_cli.console import err
from sophia_cli.execute import Session, finish, session
from sophia_cli.run_dir import RunDir, stage_order
from stages.comparison import mcnemar

DEMO_CONFIG = Path(f"{PREFIX}demo.toml")
BENCHMARK = "world"
NUM_SAMPLES = 200
NUM_SHARDS = 4


def run_demo(root: Path | None, config: RunConfig) -> dict[str, Any]:
    """Run everything that is not done yet, and say what came out.

    Args:
        root: folder of the run; None: a new temporary one.
        config: the demo's settings, as `data/world/demo.toml` has them, and the user's own.
    """
    started = time.monotonic()
    run = RunDir(root or Path(tempfile.mkdtemp(prefix="sophia-demo-")))
    evaluation = config.eval.model_copy(update={"benchmarks": (BENCHMARK,), "checkpoint": "final"})
    config = config.model_copy(update={"eval": evaluation})
    base = evaluation.model_copy(update={"checkpoint": "base"})
    seconds: dict[str, float] = {}
    results: dict[str, dict[str, Any]] = {}
    with session(run, config) as work:
        with timed(seconds, "ingest"):
            fill(work)
        steps = [("eval base", "eval"), *((stage, stage) for stage in stage_order(config))]
        for name, stage in steps:
            err.print(f"[bold]{name}[/]")
            settings = config.model_copy(update={"eval": base}) if name == "eval base" else config
            with timed(seconds, name):
                outcome = work.execute(stage, settings)
            finish(outcome, settings)
            results[name] = outcome.figures
    before = results["eval base"][f"{BENCHMARK}@base"]
    after = results["eval"][BENCHMARK]
    status = run.status()
    return {
        "base_pass_at_1": before["pass_at_1"],
        "base_standard_error": before["standard_error"],
        "base_tokens_per_answer": before["mean_tokens_per_answer"],
        "sophia_pass_at_1": after["pass_at_1"],
        "sophia_standard_error": after["standard_error"],
        "sophia_tokens_per_answer": after["mean_tokens_per_answer"],
        "p_value": paired_p_value(run.root / "evals"),
        "num_questions": after["num_questions"],
        "seconds": round(time.monotonic() - started, 1),
        "funnel": status["funnel"],
        "stage_seconds": seconds,
        "tokens": {
            "eval base": before["num_tokens"],
            "eval": after["num_tokens"],
            "caption": status["tables"]["captions"]["tokens"],
            "reason": status["tables"]["rollouts"]["tokens"],
        },
        "run": str(run.root),
    }


def fill(work: Session) -> None:
    """Ingest the built-in world's training questions."""
    ingest(
        f"{PREFIX}train",
        work.run.root / "samples",
        mapping={},
        limit=NUM_SAMPLES,
        num_shards=NUM_SHARDS,
        split="train",
        image_folder=None,
        report=work.report,
        should_stop=work.should_stop,
    )
    work.report.close()


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Note how long the block took."""
    started = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - started, 1)


def paired_p_value(evals: Path) -> float:
    """Exact McNemar test of base and trained policy on the same questions."""
    before, after = _first_answers(evals / f"{BENCHMARK}@base"), _first_answers(evals / BENCHMARK)
    shared = before.keys() & after.keys()
    gained = sum(after[key] > before[key] for key in shared)
    lost = sum(after[key] < before[key] for key in shared)
    return mcnemar(gained, lost)


def _first_answers(folder: Path) -> dict[str, float]:
    """Question -> reward of its first answer, of those that were judged."""
    columns = ("sample_id", "rollout_index", "outcome_reward")
    return {
        row["sample_id"]: row["outcome_reward"]
        for path in tables.shards(folder)
        for row in tables.read_rows(path, Attempted, columns)
        if row["rollout_index"] == 0 and row["outcome_reward"] is not None
    }
