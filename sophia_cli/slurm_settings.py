"""What the stages ask of Slurm. None of it changes what a stage writes."""

import re
from datetime import time as time_of_day
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class SlurmStage(StrEnum):
    """The commands that can be jobs, in the order they depend on each other."""

    CAPTION = "caption"
    REASON = "reason"
    VERIFY = "verify"
    JUDGE = "judge"
    PROPAGATE_REWARD = "propagate-reward"
    REWARD = "reward"
    TRAIN = "train"
    EVAL = "eval"


SIGNAL_SECONDS = {SlurmStage.TRAIN: 900}
OTHER_SIGNAL_SECONDS = 120
TIMES_NOTICE = 4
"""A time limit is at least so many times the notice, unless that is set."""
TIME_LIMIT = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


def seconds_of(limit: str) -> int:
    """A time limit as Slurm writes it: minutes, m:s, h:m:s, d-h, d-h:m or d-h:m:s.

    Raises:
        ValueError: it is none.
    """
    found = TIME_LIMIT.fullmatch(limit)
    if found is None:
        raise ValueError(f"{limit!r} is no time limit; write h:m:s, or d-h:m:s with days")
    days, first, second, third = (None if part is None else int(part) for part in found.groups())
    if days is None and third is None:  # minutes:seconds
        return 60 * (first or 0) + (second or 0)
    return 86400 * (days or 0) + 3600 * (first or 0) + 60 * (second or 0) + (third or 0)


def _check_limit(limit: str) -> str:
    if not seconds_of(limit):
        raise ValueError(f"{limit!r} is no time to work in; leave it out for the partition's own")
    return limit


def _as_text(value: object) -> object:
    """`--set slurm.time=04:00:00` is a time of day in TOML, and 30 a number; both mean a text."""
    return str(value) if isinstance(value, int | time_of_day) else value


Text = Annotated[str, BeforeValidator(_as_text)]
TimeLimit = Annotated[Text, AfterValidator(_check_limit)]


class TaskSettings(BaseModel):
    """What a task of a stage is; what is not set is Slurm's own default."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    num_workers: int | None = Field(None, ge=1)
    """Tasks of the job array that share a stage; default: 1. Training is always one job."""
    max_running: int | None = Field(None, ge=1)
    """Tasks of an array that run at the same time, at most."""
    time: TimeLimit | None = None
    """Limit of one turn of a task, such as 4:00:00; what is left is done in the next turn."""
    gpus_per_task: int | None = Field(None, ge=0)
    """Default: those over which the stage's model is spread (vLLM's tensor_parallel_size and the
    like), else 1; for training train.num_ranks, one for each rank of a node; always none for stages
    that run no model, unless set for the stage itself."""
    cpus_per_task: int | None = Field(None, ge=1)
    """CPUs of a task."""
    mem: Text | None = None
    """Memory of a task, such as 64G."""
    partition: str | None = None
    """Partition to run in."""
    account: str | None = None
    """Account that is charged."""
    qos: str | None = None
    """Quality of service."""
    constraint: str | None = None
    """Features that a node must have."""
    options: tuple[str, ...] | None = None
    """More options of sbatch, such as --exclusive or --mail-type=FAIL."""
    signal_seconds: int | None = Field(None, ge=1)
    """How long before the time limit a task is told to stop. Default: 120, for training 900, and at
    most a quarter of the limit. In it training writes a checkpoint, 14 bytes for each trained
    parameter, and reads it back for its hashes: of InternVL3-38B 460 GB, which take 575 s to write
    alone where all ranks together write 0.8 GB a second. Where files are slower, give it more."""
    setup: tuple[str, ...] | None = None
    """Lines of shell that come before the stage, such as module load cuda."""


class SlurmSettings(TaskSettings):
    """Settings of `sophia slurm`."""

    chain: Literal["afterok", "follow"] = "afterok"
    """A stage starts when the one before is complete (afterok), or with it, and waits for each
    shard of its input (follow)."""
    max_requeues_without_progress: int = Field(3, ge=0)
    """A task that stops early is queued again, but only so often in a row without anything new in
    the run."""
    stages: dict[SlurmStage, TaskSettings] = {}
    """What is different for one stage: slurm.stages.reason.gpus_per_task = 4."""

    def of_stage(self, stage: SlurmStage) -> TaskSettings:
        """The settings that hold for a stage: its own, else those of all, else the defaults."""
        own = self.stages.get(stage, TaskSettings())
        chosen = {}
        for name in TaskSettings.model_fields:
            value = getattr(own, name)
            chosen[name] = getattr(self, name) if value is None else value
        if chosen["signal_seconds"] is None:
            chosen["signal_seconds"] = _default_notice(stage, chosen["time"])
        return TaskSettings.model_construct(**chosen)


def _default_notice(stage: SlurmStage, limit: str | None) -> int:
    """Seconds before the time limit."""
    seconds = SIGNAL_SECONDS.get(stage, OTHER_SIGNAL_SECONDS)
    return seconds if limit is None else min(seconds, max(1, seconds_of(limit) // TIMES_NOTICE))
