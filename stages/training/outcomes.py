"""What training comes to, for people and for other programs: foretold by its plan, or done."""

from pathlib import Path
from typing import TYPE_CHECKING

from stages.job import Job, Outcome
from stages.training import checkpoint
from stages.training.config import Config
from stages.training.manifest import Manifest
from stages.training.ratio import explain

if TYPE_CHECKING:
    from stages.training.plan import Plan


def foretold(job: Job, config: Config, model: Path, plan: "Plan", num_ranks: int) -> Outcome:
    """What a plan's training will do and take.

    Args:
        job: the attempt.
        config: of training.
        model: the policy.
        plan: what is to be trained on.
        num_ranks: on all nodes.
    """
    from stages.training.estimate import estimate
    from stages.training.outline import OUTLINE

    rejected = sum(plan.rejected.values())
    checkpoints = job.folder("checkpoints")
    figures = {
        "dry_run": True,
        "steps": len(plan.steps),
        **plan.totals(),
        "trained_tokens": sum(map(plan.num_targets, range(len(plan.steps)))),
        **estimate(plan, config, model, num_ranks),
        "seconds_left": _seconds_left(checkpoints, len(plan.steps)),
        "plan": str(checkpoints / OUTLINE),
        "rejected_rows": _rejected_rows(job),
    }
    return Outcome(rows=plan.num_rows + rejected, errors=rejected, figures=figures)


def trained(job: Job, done: Manifest) -> Outcome:
    """What a finished training did."""
    rejected = sum(done.planned["rejected"].values())
    has_words = done.exported.get("greedy_tokens") is not None
    return Outcome(
        rows=done.planned["num_rows"] + rejected,
        errors=rejected,
        figures={
            "steps": done.step,
            "loss": done.last_step["loss"],
            "seconds": round(done.seconds, 1),
            **done.planned,
            "rejected_rows": _rejected_rows(job),
            **({"ratio": explain(done.ratio)} if done.ratio else {}),
            "export_checked_by": "weights, words" if has_words else "weights",
            **{f"{kind}_parameters": done.parts.get(kind) for kind in ("trained", "frozen")},
        },
    )


def _seconds_left(checkpoints: Path, num_steps: int) -> float | None:
    """At the pace of the steps done so far; None where there is none."""
    manifests = filter(None, map(Manifest.load, reversed(checkpoint.steps(checkpoints))))
    newest = next(manifests, None)
    if newest is None or not newest.step:
        return None
    return round(newest.seconds / newest.step * (num_steps - newest.step), 1)


def _rejected_rows(job: Job) -> str:
    """The file that says which rows are not trained on, and why."""
    from stages.training.plan import REJECTED

    return str(job.folder("checkpoints") / REJECTED)
