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
from sophia_cli.execute import execute, finish, stopping
from sophia_cli.reports import new
from sophia_cli.run_dir import RunDir, stage_order
from stages.eval import evaluation_name

DEMO_CONFIG = Path(f"{PREFIX}demo.toml")
NUM_SAMPLES = 400
NUM_SHARDS = 4


def run_demo(root: Path | None, config: RunConfig) -> dict[str, Any]:
    """Run everything that is not done yet, and say what came out.

    Args:
        root: folder of the run; None: a new temporary one.
        config: the demo's settings, as `data/world/demo.toml` has them, and the user's own.
    """
    started = time.monotonic()
    run = RunDir(root or Path(tempfile.mkdtemp(prefix="sophia-demo-")))
    seconds: dict[str, float] = {}
    with timed(seconds, "ingest"):
        fill(run)
    base = config.model_copy(update={"eval": config.eval.model_copy(update={"checkpoint": "base"})})
    outcomes = {}
    for name, stage, settings in [
        ("eval base", "eval", base),
        *((stage, stage, config) for stage in stage_order()),
    ]:
        err.print(f"[bold]{name}[/]")
        with timed(seconds, name):
            outcomes[name] = execute(run, settings, stage)
        finish(outcomes[name], settings)
    (before,), (after,) = (outcomes[name].figures.values() for name in ("eval base", "eval"))
    status = run.status()
    return {
        "base_pass_at_1": before["pass_at_1"],
        "base_standard_error": before["standard_error"],
        "base_tokens_per_answer": before["mean_tokens_per_answer"],
        "sophia_pass_at_1": after["pass_at_1"],
        "sophia_standard_error": after["standard_error"],
        "sophia_tokens_per_answer": after["mean_tokens_per_answer"],
        "p_value": paired_p_value(run, base, config),
        "num_questions": after["num_questions"],
        "seconds": round(time.monotonic() - started, 1),
        "funnel": status["funnel"],
        "stage_seconds": seconds,
        "tokens": {
            "caption": status["tables"]["captions"]["tokens"],
            "reason": status["tables"]["rollouts"]["tokens"],
        },
        "run": str(run.root),
    }


def fill(run: RunDir) -> None:
    """Ingest the built-in world's training questions."""
    with stopping(new()) as (report, should_stop):
        ingest(
            f"{PREFIX}train",
            run.root / "samples",
            mapping={},
            limit=NUM_SAMPLES,
            num_shards=NUM_SHARDS,
            split="train",
            image_folder=None,
            report=report,
            should_stop=should_stop,
        )


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Note how long the block took."""
    started = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - started, 1)


def paired_p_value(run: RunDir, base: RunConfig, config: RunConfig) -> float:
    """Exact McNemar test of two evaluations on the same questions.

    Under the null hypothesis each question that only one of the two got right is as likely to be
    the one's as the other's.
    """
    from scipy.stats import binomtest

    before = _first_answers(run.root / evaluation_name("world", base.eval))
    after = _first_answers(run.root / evaluation_name("world", config.eval))
    shared = before.keys() & after.keys()
    gained = sum(after[key] > before[key] for key in shared)
    lost = sum(after[key] < before[key] for key in shared)
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def _first_answers(folder: Path) -> dict[str, float]:
    """Question -> reward of its first answer, of those that were judged."""
    columns = ("sample_id", "rollout_index", "outcome_reward")
    return {
        row["sample_id"]: row["outcome_reward"]
        for path in tables.shards(folder)
        for row in tables.read_rows(path, Attempted, columns)
        if row["rollout_index"] == 0 and row["outcome_reward"] is not None
    }
