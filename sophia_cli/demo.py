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
from sophia_cli.console import err, out, print_json, print_table
from sophia_cli.execute import Session, finish, session
from sophia_cli.results import percent
from sophia_cli.run_dir import RunDir, stage_order
from sophia_cli.status import read_status
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
    status = read_status(run)
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


def show_demo(result: dict[str, Any], as_json: bool) -> None:
    """What the demo found."""
    if as_json:
        print_json(result)
        return
    rows = [
        ["base policy", *_score(result, "base")],
        ["after SOPHIA", *_score(result, "sophia")],
    ]
    print_table(
        f"Held-out questions of the built-in world ({result['num_questions']})",
        ["", "pass@1 %", "standard error", "tokens per answer"],
        rows,
    )
    gain = 100 * (result["sophia_pass_at_1"] - result["base_pass_at_1"])
    out.print(f"gain {gain:+.1f} points, paired p = {result['p_value']:.2g} (exact McNemar test)")
    print_table(
        "Funnel",
        ["", "number"],
        [[k.replace("_", " "), f"{v:,}"] for k, v in result["funnel"].items()],
    )
    print_table(
        "Stages",
        ["", "seconds", "tokens generated"],
        [
            [stage, f"{seconds:.0f}", f"{result['tokens'].get(stage, 0):,}"]
            for stage, seconds in result["stage_seconds"].items()
        ],
    )
    out.print(f"{result['seconds']:.0f} s in all; the run is in {result['run']}", markup=False)


def _score(result: dict[str, Any], name: str) -> list[str]:
    return [
        percent(result[f"{name}_pass_at_1"]),
        percent(result[f"{name}_standard_error"]),
        f"{result[f'{name}_tokens_per_answer']:.0f}",
    ]
