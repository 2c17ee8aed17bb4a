"""`sophia train reshard`: which checkpoint becomes one for how many ranks, and whether it did.

The ranks do the work, in `stages/training/reshard.py`.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import EngineError, InputError, RefusedError
from stages.job import Job, Outcome
from stages.training import checkpoint
from stages.training.config import Config
from stages.training.manifest import Manifest, describe_manifest
from stages.training.task import WORK, Task

if TYPE_CHECKING:
    from stages.training.plan import Plan

RANKS = "stages.training.reshard"


def reshard(
    job: Job,
    config: Config,
    model: Path,
    num_ranks: int,
    make_plan: Callable[[], "Plan | None"],
    launch: Callable[[Task, int, str], None],
) -> Outcome:
    """Turn the newest checkpoint into one for as many ranks as the settings say.

    Args:
        job: the attempt.
        config: its settings.
        model: folder of the policy before training.
        num_ranks: what the checkpoint is to be for.
        make_plan: makes the plan, by which the state is checked; None where it was stopped.
        launch: runs ranks.

    Raises:
        InputError: there is no checkpoint.
        RefusedError: none is intact, the ZeRO stage is another one, or it can't be checked.
        Stopped: it was time to stop before the checkpoint was read.
        EngineError: what came out is not the state that was saved.
    """
    checkpoints = job.folder("checkpoints")
    checkpoint.remove_unfinished(checkpoints)
    found = checkpoint.newest(checkpoints, None, job.report.note, job.should_stop)
    if found is None:
        raise InputError(
            f"There is no checkpoint in {checkpoints}.", "Train first: `sophia train` writes them."
        )
    path, manifest = found
    check_possible(path, manifest, config)
    figures = {"checkpoint": path.name, "ranks_before": manifest.num_ranks, "ranks": num_ranks}
    if manifest.num_ranks == num_ranks:
        return Outcome(figures=figures)
    plan = make_plan()
    if plan is None:
        return Outcome(complete=False)
    checkpoint.set_aside_newer(path)
    before = {"num_ranks": manifest.num_ranks, "manifest": describe_manifest(path)}
    task = Task(
        config=config,
        manifest=replace(manifest, resharded_from=before),
        seed=job.seed,
        model=model,
        plan=plan.folder,
        checkpoints=checkpoints,
        metrics=job.folder("metrics"),
        progress=checkpoints / WORK / "reshard.jsonl",
        resume_from=path,
    )
    try:
        launch(task, num_ranks, RANKS)
    except EngineError:
        if not job.should_stop():
            raise
    checkpoint.remove_unfinished(checkpoints)
    written = Manifest.load(path)
    return Outcome(complete=written is not None and written.num_ranks == num_ranks, figures=figures)


def check_possible(path: Path, manifest: Manifest, config: Config) -> None:
    """Refuse what can't be resharded.

    Raises:
        RefusedError: it is so.
    """
    if manifest.zero_stage != config.zero_stage:
        raise RefusedError(
            f"{path} was written at ZeRO stage {manifest.zero_stage}, and only the number of ranks "
            "can be changed.",
            f"Set train.zero_stage = {manifest.zero_stage}.",
        )
    if not manifest.fingerprint:
        raise RefusedError(
            f"{path} does not say what loss comes next, so that it can't be checked afterwards.",
            f"Continue it with {manifest.num_ranks} ranks to the next checkpoint.",
        )
