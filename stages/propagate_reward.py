"""Propagate-reward: outcome rewards back to captions, and the best rollouts into trajectories.

Input tables: rollouts, verdicts, and for groups thinking, where it is. Output tables: rewards (one
row per rollout), trajectories.

Section 4.2 of the paper: R(c) is the mean outcome reward of a caption's N rollouts (Eq. 5); a
sample's trajectory is the shortest right rollout among captions with R(c) > alpha (Eq. 6). Both
stand in `selection.py`. On-policy rollouts can be kept as whole groups instead, for GRPO and
SophiaVL-R1: `groups.py`.

    sophia propagate-reward --run RUN
"""

import itertools
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from data import tables
from data.errors import ConfigError, InputError
from data.records import Trajectory, schema
from stages.funnel import Funnel, describe
from stages.generation import require_table
from stages.groups import GROUP, Variant, choose_groups
from stages.identity import is_outdated
from stages.job import Job, Outcome
from stages.pruned_rollouts import refuse_other_pruning
from stages.reward_tables import REWARDS, Choice, Chosen, reward_table, trajectory_tables
from stages.rollout_columns import Rollouts
from stages.rollout_shard import NOT_KNOWN, Shard, read_shard
from stages.selection import CaptionRewards, Select, caption_rewards, choose, reasons

NUM_THREADS = 3
"""Shards at a time."""


class Config(BaseModel):
    """Settings of the propagate-reward stage."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    ENGINE_ONLY: ClassVar[tuple[str, ...]] = ()
    GROWING: ClassVar[tuple[str, ...]] = ()

    alpha: float = Field(0.75, ge=0, lt=1)
    """A caption's trajectories are used when R(c) > alpha, strictly (Eq. 6)."""
    keep: int = Field(1, ge=1)
    """Trajectories kept per sample (Table A4)."""
    select: Select = "shortest"
    """`shortest`: Eq. 6. Ablations (Table 5): `random-qualified` takes a random one of those that
    qualify, `no-caption-reward` drops R(c) > alpha, `random` takes any finished rollout. `group`:
    all judged rollouts of a sample, on-policy ones (reason.behavior = "image"), with the advantages
    that `train.objective = "grpo"` or `"trust-grpo"` takes."""
    variant: Variant = "paper"
    """How groups are rewarded, with `select = "group"`. `paper`: as SophiaVL-R1's paper says;
    `code`: as its authors' code does, which counts thinking rewards of right rollouts only and
    skips groups that are all right or all wrong; see `train.annealing_steps` for the rest."""


def models_used(config: Config) -> tuple[str, ...]:
    """The models this stage runs."""
    return ()


def tables_read(config: Config) -> tuple[str, ...]:
    """The tables this stage reads."""
    return ("rollouts", "verdicts", "thinking")[: 3 if config.select == GROUP else 2]


def works_without_samples(config: Config) -> bool:
    """Whether the run may lack samples: only the funnel by kind of sample needs them."""
    return True


def run(job: Job, config: Config) -> Outcome:
    """Write the rewards and trajectories of each shard that is not there yet."""
    rollouts, verdicts = job.folder("rollouts"), job.folder("verdicts")
    count = require_table(rollouts, "sophia reason")
    require_table(verdicts, "sophia verify", count)
    if config.select == GROUP and job.folder("thinking").is_dir():
        require_table(job.folder("thinking"), "sophia judge", count)
    refuse_other_pruning(rollouts, config.model_dump())
    for name in ("rewards", "trajectories"):
        for path in tables.shards(job.folder(name)):
            _remove_if_outdated(path, job.metadata)  # rollouts were added: rewards are others
    job.report.start(job.stage, count, len(tables.shards(job.folder("rewards"))))

    def propagate(index: int) -> bool:
        if not job.should_stop():
            propagate_shard(job, config, index, count)
            return True
        return False

    def is_done(index: int) -> bool:
        return all(
            tables.shard_path(job.folder(name), index, count).exists()
            for name in ("rewards", "trajectories")
        )

    # One thread waits for the disk while another computes, mostly outside of Python.
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for was_done in pool.map(propagate, itertools.filterfalse(is_done, range(count))):
            if not was_done:
                return Outcome(complete=False)
            job.report.advance(rows=1)
    return _summary(job)


def _remove_if_outdated(shard: Path, now: tables.Metadata) -> None:
    """Delete a shard that is to be made anew, and not the new one of a worker that was faster."""
    aside = shard.with_name(f".{shard.name}.{uuid.uuid4().hex}")
    try:
        if not is_outdated(shard, now):
            return
        shard.rename(aside)
        if not is_outdated(aside, now):
            tables.link_into_place(aside, shard)
    except (InputError, FileNotFoundError):
        if shard.exists():
            raise
    aside.unlink(missing_ok=True)


def propagate_shard(job: Job, config: Config, index: int, count: int) -> None:
    """Score one shard's rollouts, and write its trajectories and rewards."""
    started = time.monotonic()
    samples, rollouts, verdicts, thinking, rewards, trajectories = (
        tables.shard_path(job.folder(name), index, count)
        for name in ("samples", "rollouts", "verdicts", "thinking", "rewards", "trajectories")
    )
    is_group = config.select == GROUP
    is_on_policy = _is_on_policy(rollouts, is_group)
    shard = read_shard(rollouts, verdicts, thinking if is_group and thinking.exists() else None)
    funnel = Funnel(samples, shard)

    def metadata(num_rows: int, num_tokens: int = 0) -> tables.Metadata:
        return replace(
            job.metadata,
            num_rows=num_rows,
            num_tokens=num_tokens,
            seconds=round(time.monotonic() - started, 3),
            finished_at=time.time(),
            figures=dict(funnel.counts),
        )

    def rewarded() -> Iterator[pa.Table]:
        parts: list[Chosen] = []
        for piece in shard.pieces():
            captions = caption_rewards(piece, config.alpha)
            if is_group:
                groups = choose_groups(piece, shard.statuses, config.variant)
                choice = groups.choice
                funnel.add_groups(groups.counts)
            else:
                choice = best_rollouts(shard, piece, captions, config, job.seed)
            funnel.add(piece, captions.is_above, choice.selected)
            parts.append(Chosen.of(piece, choice))
            yield reward_table(shard, piece, captions.value, choice)
        # Before the rewards get their name: where they are, the trajectories are too.
        chosen = Chosen.joined(parts)
        lengths = shard.columns["num_tokens"][chosen.row]
        num_tokens = int(lengths[lengths != NOT_KNOWN].sum())
        tables.stream_atomically(
            trajectories,
            schema(Trajectory),
            trajectory_tables(rollouts, shard, chosen, is_on_policy),
            lambda: metadata(len(chosen.row), num_tokens),
        )

    tables.stream_atomically(
        rewards, REWARDS, rewarded(), lambda: metadata(len(shard)), is_narrow=True
    )


def best_rollouts(
    shard: Shard, rollouts: Rollouts, captions: CaptionRewards, config: Config, run_seed: int
) -> Choice:
    """Eq. 6 and its ablations.

    What is chosen was right and ended by itself; the ablation `random` trains on what it drew as
    if it were right. So the reward is 1.
    """
    selected = choose(
        rollouts,
        shard.sample_ids,
        captions,
        select=config.select,
        keep=config.keep,
        run_seed=run_seed,
    )
    ones = np.ones(len(selected), np.float32)
    return Choice(
        selected=selected,
        reasons=reasons(rollouts, shard.statuses, captions, selected, config.select),
        reward=ones,
        advantage=ones,
        thinking=None,
        trust=None,
    )


def _is_on_policy(rollouts: Path, is_group: bool) -> bool:
    """Whether the policy itself wrote a shard of rollouts; of another tool's, groups say so.

    Raises:
        ConfigError: groups are wanted of rollouts that a reasoner wrote.
    """
    written = tables.read_metadata(rollouts)
    if written is None:
        return is_group
    if written.settings.get("reason.behavior") == "image":
        return True
    if is_group:
        raise ConfigError(
            f'propagate.select = "{GROUP}" is for rollouts of the policy itself, and a reasoner '
            f"wrote those of {rollouts.parent}.",
            'Make them in another run with reason.behavior = "image", or set propagate.select to '
            '"shortest".',
        )
    return False


def _summary(job: Job) -> Outcome:
    """Rows and funnel of the whole table, from its shards' metadata."""
    outcome = Outcome()
    figures: Counter[str] = Counter()
    for path in tables.shards(job.folder("rewards")):
        if metadata := tables.read_metadata(path):
            outcome.rows += metadata.num_rows
            figures.update(metadata.figures)
    outcome.figures = describe(figures)
    return outcome
