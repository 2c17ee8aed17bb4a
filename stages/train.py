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
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from data import tables
from data.errors import ConfigError, Stopped
from stages.families import load_family, model_folder, model_type
from stages.job import Job, Outcome
from stages.prompts import load_prompt
from stages.training import checkpoint
from stages.training.config import Config
from stages.training.launch import alone, launch, require_devices, require_nodes
from stages.training.manifest import Manifest, describe
from stages.training.outcomes import foretold, trained
from stages.training.resharding import reshard
from stages.training.task import WORK, Task

if TYPE_CHECKING:
    from stages.training.plan import Plan

__all__ = ["Config", "models_used", "run", "tables_read"]


RENDERING = (".json", ".jinja", ".model", ".txt")
"""Files of a model that say how text and images become tokens, among others."""


def models_used(config: Config) -> tuple[str, ...]:
    """The models this stage runs."""
    return ("policy",)


def tables_read(config: Config) -> tuple[str, ...]:
    """The tables this stage reads."""
    return ("samples", "trajectories")


def run(job: Job, config: Config) -> Outcome:
    """Train to the end, from the newest checkpoint where there is one.

    Raises:
        ConfigError: no policy is set, or one of an unknown family; or a setting can't be met here.
        InputError: the policy or an input is missing, or no trajectory is left to train on.
        RefusedError: what is there was made with other settings or inputs.
        EngineError: a rank failed.
        Stopped: another command trains this run.
    """
    path = job.models["policy"].path
    if path is None:
        raise ConfigError(
            "models.policy.path is not set.",
            "Name a model folder or hub id: --set models.policy.path=PATH.",
        )
    model = model_folder(path)
    load_family(model_type(model))
    if config.wandb_project and find_spec("wandb") is None:
        raise ConfigError(
            "train.wandb_project is set, but Weights & Biases is not installed.",
            "Install it with `pip install wandb`, or take the setting out.",
        )
    if config.lora_rank and config.lora_targets:
        from stages.training.lora import check_targets

        check_targets(model, config)
    with alone(job.folder("checkpoints"), job.should_stop) as lock:
        try:
            return _run(job, config, model, lock)
        except Stopped:  # while files were read
            return Outcome(complete=False)


def _run(job: Job, config: Config, model: Path, lock: int) -> Outcome:
    """Do what the attempt is for, holding the run's lock."""
    checkpoints = job.folder("checkpoints")
    plan = plan_digest(job, config, model)
    checkpoint.check_same(checkpoints, job.metadata, plan)
    done = Manifest.load(checkpoints / checkpoint.FINAL)
    if job.dry_run and done is None:
        return _foretell(job, config, model, plan)
    if done is None:
        require_nodes(config.num_nodes)
        require_devices(config.num_ranks or 0)
    if job.reshard and done is None:
        return reshard(
            job,
            config,
            model,
            _num_ranks(config),
            lambda: _make_plan(job, config, model, plan),
            lambda task, ranks, module: _launch(job, task, ranks, lock, module),
        )
    done = done or _train(job, config, model, plan, lock)
    return trained(job, done) if done else Outcome(complete=False)


def works_without_samples(config: Config) -> bool:
    """Whether the run may be an empty folder: a warm-up needs nothing of it."""
    return config.objective == "sft" and bool(config.mix)


def is_warm_up(job: Job, config: Config) -> bool:
    """Whether this is step 1 of the method, in a run in which nothing was sampled yet."""
    tables_made = ("captions", "probes", "rollouts", "trajectories")
    return works_without_samples(config) and not any(
        job.folder(name).exists() for name in tables_made
    )


def plan_digest(job: Job, config: Config, model: Path) -> str:
    """Identity of everything the plan depends on.

    The bytes of extra data are part of it, and of the policy's tokenizer, template and processor.

    Raises:
        Stopped: it was time to stop before all was read.
    """
    paths = {name: Path(mixture.path) for name, mixture in config.mix.items()}
    paths |= {f"policy/{path.name}": path for path in model.iterdir() if path.suffix in RENDERING}
    files = {
        name: describe(path, job.should_stop) for name, path in paths.items() if path.is_file()
    }
    return tables.digest_of(job.metadata.digest, job.seed, files)


def _make_plan(job: Job, config: Config, model: Path, plan_id: str) -> "Plan | None":
    """Make the plan, or open the one that is there; None where it was stopped."""
    from stages.training.outline import write_outline
    from stages.training.planning import make_plan
    from stages.training.render import Renderer
    from stages.training.supported import check_supported
    from stages.training.trajectories import read_trajectories

    check_supported(model, config)
    warm_up = is_warm_up(job, config)
    if warm_up:
        job.report.note("warm-up: nothing was sampled in this run, so train.mix is all there is")
    checkpoints = job.folder("checkpoints")
    plan = make_plan(
        checkpoints / WORK / "plan",
        plan_id,
        None if warm_up else read_trajectories(job),
        partial(Renderer, model, config.max_length, load_prompt(config.system_prompt)),
        config,
        job.seed,
        job.should_stop,
        total=tables.count_rows(job.folder("trajectories")),
        report=job.report,
    )
    if plan is not None:
        write_outline(plan, config.pack_length, checkpoints, job.metadata)
        rejected = "".join(f"; {count} rejected: {why}" for why, count in plan.rejected.items())
        job.report.note(f"{len(plan.steps)} steps over {plan.num_rows} rows{rejected}")
    return plan


def _foretell(job: Job, config: Config, model: Path, plan_id: str) -> Outcome:
    """What training will do and take. The plan stays, for the training itself."""
    plan = _make_plan(job, config, model, plan_id)
    if plan is None:
        return Outcome(complete=False)
    return foretold(job, config, model, plan, _num_ranks(config))


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
        num_ranks=_num_ranks(config),
        seconds=0.0,
    )
    found = checkpoint.newest(checkpoints, start, job.report.note, job.should_stop)
    resume_from, state = found or (None, start)
    if resume_from is not None:
        checkpoint.set_aside_newer(resume_from)
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


def _launch(job: Job, task: Task, num_ranks: int, lock: int, module: str) -> None:
    """Run the ranks of one attempt."""
    path = task.checkpoints / WORK / "task.json"
    task.dump(path)
    launch(
        job,
        path,
        num_ranks=num_ranks // task.config.num_nodes,
        num_nodes=task.config.num_nodes,
        progress=task.progress,
        log=job.folder("logs") / f"{_attempt(job)}-ranks.log",
        lock=lock,
        module=module,
        num_steps=task.manifest.num_steps,
    )


def _attempt(job: Job) -> str:
    started = time.strftime("%Y%m%d-%H%M%S", time.localtime(job.started_at))
    return f"{job.stage}-{started}-{os.getpid()}"


def _num_ranks(config: Config) -> int:
    """Ranks on all nodes."""
    return (config.num_ranks or _num_devices()) * config.num_nodes


def _num_devices() -> int:
    import torch

    return torch.cuda.device_count() or 1
