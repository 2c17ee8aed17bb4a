"""Train: the policy learns the selected rollouts, given image and question.

Input tables: samples, trajectories. Output: checkpoints/step-*, checkpoints/final.

Section 4.3 of the paper: an off-policy policy gradient on the trajectories (Eq. 7), with vision
tower and projector frozen (Table 4). The caption is not in the prompt. Extra data can be mixed in
(Table A3). First a plan says which rows are in which step; then DeepSpeed ranks work through it.

    sophia train --run RUN
"""

import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data import tables
from data.errors import ConfigError, EngineError, InputError, RefusedError
from data.records import Sample, Trajectory
from stages.families import load_family, model_folder, model_type
from stages.generation import require_table
from stages.job import Job, Outcome
from stages.prompts import load_prompt
from stages.training import checkpoint
from stages.training.checkpoint import Manifest
from stages.training.config import Config
from stages.training.launch import alone, launch
from stages.training.task import Task

if TYPE_CHECKING:
    from stages.training.plan import Plan
    from stages.training.render import Example

__all__ = ["Config", "models_used", "run", "tables_read"]


RENDERING = (".json", ".jinja", ".model", ".txt")
"""Files of a model that say how text and images become tokens, among others."""
WORK = ".work"
"""Folder of the plan and the ranks' task, as long as training is not finished."""


def models_used(config: Config) -> tuple[str, ...]:
    """The models this stage runs."""
    return ("policy",)


def tables_read(config: Config) -> tuple[str, ...]:
    """The tables this stage reads."""
    return ("samples", "trajectories")


def run(job: Job, config: Config) -> Outcome:
    """Train to the end, from the newest checkpoint where there is one.

    Raises:
        ConfigError: no policy is set, or one of an unknown family.
        InputError: the policy or an input is missing, or no trajectory is left to train on.
        RefusedError: what is there was made with other settings or inputs.
        EngineError: a rank failed.
    """
    path = job.models["policy"].path
    if path is None:
        raise ConfigError(
            "models.policy.path is not set.",
            "Name a model folder or hub id: --set models.policy.path=PATH.",
        )
    model = model_folder(path)
    load_family(model_type(model))
    if config.lora_rank and config.lora_targets:
        from stages.training.lora import check_targets

        check_targets(model, config)
    checkpoints = job.folder("checkpoints")
    with alone(checkpoints) as lock:
        plan = plan_digest(job, config, model)
        checkpoint.check_same(checkpoints, job.metadata, plan)
        done = Manifest.load(checkpoints / checkpoint.FINAL)
        if job.dry_run and done is None:
            return _foretell(job, config, model, plan)
        if job.reshard:
            return _reshard(job, config, model, plan, lock)
        return _outcome(done or _train(job, config, model, plan, lock))


def plan_digest(job: Job, config: Config, model: Path) -> str:
    """Identity of everything the plan depends on.

    The bytes of extra data are part of it, and of the policy's tokenizer, template and processor.
    """
    paths = {name: Path(mixture.path) for name, mixture in config.mix.items()}
    paths |= {f"policy/{path.name}": path for path in model.iterdir() if path.suffix in RENDERING}
    files = {name: checkpoint.describe(path) for name, path in paths.items() if path.is_file()}
    return tables.digest_of(job.metadata.digest, job.seed, files)


def read_trajectories(job: Job) -> Iterator["Example"]:
    """The trajectories with their samples, in the order of the tables.

    Raises:
        InputError: a table is missing or incomplete, or a trajectory has no sample.
    """
    from stages.training.render import Example

    samples, trajectories = job.folder("samples"), job.folder("trajectories")
    count = require_table(samples, "sophia ingest")
    require_table(trajectories, "sophia propagate-reward", count)
    for index in range(count):
        of_sample: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in tables.read_rows(tables.shard_path(trajectories, index, count), Trajectory):
            of_sample[row["sample_id"]].append(row)
        if not of_sample:
            continue
        for sample in tables.read_rows(tables.shard_path(samples, index, count), Sample):
            for row in of_sample.pop(sample["sample_id"], []):
                yield Example(
                    sample=sample,
                    response=row["response"] or "",
                    reward=float("nan") if row["reward"] is None else row["reward"],
                    token_ids=row["token_ids"],
                    finished=row["finish_reason"] in (None, "stop"),
                    key=f"{row['sample_id']}/{row['caption_index']}/{row['rollout_index']}",
                )
        if of_sample:
            raise InputError(
                f"{trajectories} has trajectories of {next(iter(of_sample))!r}, which is not among "
                f"the samples of shard {index}.",
                "Use the samples that the trajectories were made from.",
            )


def _make_plan(job: Job, config: Config, model: Path, plan_id: str) -> "Plan | None":
    """Make the plan, or open the one that is there; None where it was stopped."""
    from stages.training.planning import make_plan
    from stages.training.render import Renderer
    from stages.training.supported import check_supported

    check_supported(model, config)
    plan = make_plan(
        job.folder("checkpoints") / WORK / "plan",
        plan_id,
        read_trajectories(job),
        lambda: Renderer(model, config.max_length, load_prompt(config.system_prompt)),
        config,
        job.seed,
        job.should_stop,
    )
    if plan is not None:
        rejected = "".join(f"; {count} rejected: {why}" for why, count in plan.rejected.items())
        job.report.note(f"{len(plan.steps)} steps over {plan.num_rows} rows{rejected}")
    return plan


def _foretell(job: Job, config: Config, model: Path, plan_id: str) -> Outcome:
    """What training will do and take. The plan stays, for the training itself."""
    from stages.training.estimate import Sizes, estimate

    plan = _make_plan(job, config, model, plan_id)
    if plan is None:
        return Outcome(complete=False)
    rejected = sum(plan.rejected.values())
    num_ranks = config.num_ranks or _num_devices()
    figures = {
        "dry_run": True,
        "steps": len(plan.steps),
        **plan.totals(),
        "trained_tokens": sum(map(plan.num_targets, range(len(plan.steps)))),
        **estimate(plan, config, Sizes.of(model), num_ranks),
        "seconds_left": _seconds_left(job.folder("checkpoints"), len(plan.steps)),
    }
    return Outcome(rows=plan.num_rows + rejected, errors=rejected, figures=figures)


def _seconds_left(checkpoints: Path, num_steps: int) -> float | None:
    """At the pace of the steps done so far; None where there is none."""
    manifests = filter(None, map(Manifest.load, reversed(checkpoint.steps(checkpoints))))
    newest = next(manifests, None)
    if newest is None or not newest.step:
        return None
    return round(newest.seconds / newest.step * (num_steps - newest.step), 1)


def _train(job: Job, config: Config, model: Path, plan_id: str, lock: int) -> Manifest | None:
    """Plan, then run the ranks; the manifest of the finished policy, None where stopped early."""
    checkpoints = job.folder("checkpoints")
    work = checkpoints / WORK
    checkpoint.remove_unfinished(checkpoints)
    plan = _make_plan(job, config, model, plan_id)
    if plan is None:
        return None
    start = Manifest(
        metadata=job.metadata,
        plan=plan_id,
        planned=plan.totals(),
        step=0,
        num_steps=len(plan.steps),
        zero_stage=config.zero_stage,
        num_ranks=config.num_ranks or _num_devices(),
        seconds=0.0,
    )
    resume_from, state = checkpoint.newest(checkpoints, start) or (None, start)
    task = Task(
        config=config,
        manifest=state,
        seed=job.seed,
        model=model,
        plan=plan.folder,
        checkpoints=checkpoints,
        metrics=job.folder("metrics"),
        progress=job.folder("metrics") / f"{_attempt(job)}.jsonl",
        resume_from=resume_from,
    )
    job.report.start(job.stage, state.num_steps, state.step)
    if not job.should_stop():
        _launch(job, task, start.num_ranks, lock, "stages.training.loop")
    done = Manifest.load(checkpoints / checkpoint.FINAL)
    if done is not None:
        shutil.rmtree(work)
    return done


def _reshard(job: Job, config: Config, model: Path, plan_id: str, lock: int) -> Outcome:
    """Turn the newest checkpoint into one for as many ranks as the settings say.

    Raises:
        InputError: there is none.
        RefusedError: the ZeRO stage is another one.
        EngineError: what came out is not the state that was saved.
    """
    checkpoints = job.folder("checkpoints")
    checkpoint.remove_unfinished(checkpoints)
    found = checkpoint.newest(checkpoints)
    if found is None:
        raise InputError(
            f"There is no checkpoint in {checkpoints}.", "Train first: `sophia train` writes them."
        )
    path, manifest = found
    now = config.num_ranks or _num_devices()
    figures = {"checkpoint": path.name, "ranks_before": manifest.num_ranks, "ranks": now}
    if manifest.zero_stage != config.zero_stage:
        raise RefusedError(
            f"{path} was written at ZeRO stage {manifest.zero_stage}, and only the number of ranks "
            "can be changed.",
            f"Set train.zero_stage = {manifest.zero_stage}.",
        )
    if manifest.num_ranks == now:
        return Outcome(figures=figures)
    plan = _make_plan(job, config, model, plan_id)
    if plan is None:
        return Outcome(complete=False)
    before = {"num_ranks": manifest.num_ranks, "manifest": checkpoint.describe_manifest(path)}
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
        _launch(job, task, now, lock, "stages.training.reshard")
    except EngineError:
        if not job.should_stop():
            raise
    checkpoint.remove_unfinished(checkpoints)
    written = Manifest.load(path)
    return Outcome(complete=written is not None and written.num_ranks == now, figures=figures)


def _launch(job: Job, task: Task, num_ranks: int, lock: int, module: str) -> None:
    """Run the ranks of one attempt."""
    path = task.checkpoints / WORK / "task.json"
    task.dump(path)
    launch(
        job,
        path,
        num_ranks=num_ranks,
        progress=task.progress,
        log=job.folder("logs") / f"{_attempt(job)}-ranks.log",
        lock=lock,
        module=module,
    )


def _attempt(job: Job) -> str:
    started = time.strftime("%Y%m%d-%H%M%S", time.localtime(job.started_at))
    return f"{job.stage}-{started}-{os.getpid()}"


def _num_devices() -> int:
    import torch

    return torch.cuda.device_count() or 1


def _outcome(done: Manifest | None) -> Outcome:
    if done is None:
        return Outcome(complete=False)
    rejected = sum(done.planned["rejected"].values())
    return Outcome(
        rows=done.planned["num_rows"] + rejected,
        errors=rejected,
        figures={
            "steps": done.step,
            "loss": done.last_step["loss"],
            "seconds": round(done.seconds, 1),
            **done.planned,
            **{f"{kind}_parameters": done.parts.get(kind) for kind in ("trained", "frozen")},
        },
    )
