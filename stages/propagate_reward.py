"""Propagate-reward: outcome rewards back to captions, and the best rollouts into trajectories.

Input tables: rollouts, verdicts. Output tables: rewards (one row per rollout), trajectories.

Section 4.2 of the paper: R(c) is the mean outcome reward of a caption's N rollouts (Eq. 5); a
sample's trajectory is the shortest right rollout among captions with R(c) > alpha (Eq. 6).

    sophia propagate-reward --run RUN
"""

import itertools
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from data import tables
from data.errors import InputError, RefusedError
from data.records import Trajectory, schema
from stages.funnel import Funnel, describe
from stages.generation import require_table
from stages.identity import is_outdated
from stages.job import Job, Outcome
from stages.reward_tables import (
    REWARDS,
    Floats,
    Ints,
    Mask,
    Rollouts,
    read_shard,
    reward_table,
    starts,
    text_of_each,
    trajectory_tables,
)
from stages.seeds import seed_for

PRUNED_FOR = ("alpha", "keep", "select")
"""Settings that rollouts are pruned for: others, but for a smaller `keep`, may need the rest."""
NUM_THREADS = 3
"""Shards at a time."""
Select = Literal["shortest", "random-qualified", "no-caption-reward", "random"]


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
    qualify, `no-caption-reward` drops R(c) > alpha, `random` takes any finished rollout."""


def models_used(config: Config) -> tuple[str, ...]:
    """The models this stage runs."""
    return ()


def tables_read(config: Config) -> tuple[str, ...]:
    """The tables this stage reads."""
    return ("rollouts", "verdicts")


@dataclass(frozen=True, kw_only=True)
class CaptionRewards:
    """R(c) of some captions, as far as it is known."""

    value: Floats
    """Mean outcome reward over the judged rollouts (Eq. 5, where that is all N); NaN where the
    unjudged ones could still move R(c) across alpha, or where none is judged."""
    is_above: Mask
    """R(c) > alpha, whatever the unjudged rollouts would have been."""
    is_below: Mask
    """R(c) <= alpha, whatever they would have been."""


def caption_rewards(rollouts: Rollouts, alpha: float) -> CaptionRewards:
    """R(c) of each caption from its N rollouts (Eq. 5), and its side of alpha.

    A rollout without an outcome reward (verifier failed, rollout failed or pruned) is unknown:
    the caption is above alpha if it is even with all unknown ones wrong, and below if it is even
    with all of them right.
    """
    num_rollouts = rollouts.caption_sizes
    right = rollouts.by_caption(np.where(rollouts.is_judged, rollouts.outcome, 0.0))
    judged = rollouts.by_caption(rollouts.is_judged)
    is_above = right / num_rollouts > alpha
    is_below = (right + (num_rollouts - judged)) / num_rollouts <= alpha
    is_known = (is_above | is_below) & (judged > 0)
    value = np.divide(right, judged, out=np.full(len(right), np.nan), where=is_known)
    return CaptionRewards(value=value, is_above=is_above, is_below=is_below)


def qualify(rollouts: Rollouts, captions: CaptionRewards, select: Select) -> Mask:
    """Which rollouts may become trajectories: right ones among captions with R(c) > alpha."""
    if select == "random":
        return rollouts.is_finished
    right = rollouts.is_finished & rollouts.is_right
    if select == "no-caption-reward":
        return right
    qualified: Mask = right & rollouts.of_caption(captions.is_above)
    return qualified


class Ranking(NamedTuple):
    """Rollouts that qualify, sample by sample, the best first."""

    rows: Ints
    """Which rollout it is."""
    place: Ints
    """0 for the best of its sample, 1 for the next."""


def rank(
    rollouts: Rollouts, sample_ids: list[str], qualified: Mask, select: Select, run_seed: int
) -> Ranking:
    """Order the rollouts that qualify: the shortest first (Eq. 6), or at random.

    Ties are in the order of (caption_index, rollout_index).
    """
    rows = np.flatnonzero(qualified)
    if select in ("shortest", "no-caption-reward"):
        preference: Ints = rollouts.num_tokens[rows]
    else:
        sample, caption, rollout = rollouts.sample, rollouts.caption, rollouts.rollout
        seeds = (
            seed_for(
                run_seed,
                "propagate-reward",
                sample_ids[sample[row]],
                int(caption[row]),
                int(rollout[row]),
            )
            for row in rows
        )
        preference = np.argsort(np.argsort(np.fromiter(seeds, np.int64, len(rows))))
    # One number for both criteria is sorted several times as fast; stable keeps the order of keys.
    by_sample = (rollouts.sample[rows].astype(np.int64) << 32) + preference
    rows = rows[np.argsort(by_sample, kind="stable")]
    best = starts(rollouts.sample[rows])
    num_qualified = np.diff(best, append=len(rows))
    return Ranking(rows, np.arange(len(rows)) - np.repeat(best, num_qualified))


def choose(
    rollouts: Rollouts,
    sample_ids: list[str],
    captions: CaptionRewards,
    config: Config,
    run_seed: int,
) -> Mask:
    """Which rollouts become trajectories (Eq. 6 and its ablations)."""
    qualified = qualify(rollouts, captions, config.select)
    ranking = rank(rollouts, sample_ids, qualified, config.select, run_seed)
    selected = np.zeros(len(qualified), bool)
    selected[ranking.rows[ranking.place < config.keep]] = True
    return selected


class Case(NamedTuple):
    """What a reason depends on: thousands of rollouts share one."""

    status: str
    is_selected: bool
    is_pruned: bool
    is_judged: bool
    is_right: bool
    is_above: bool
    is_below: bool


def reason_for(case: Case, select: Select) -> str:
    """Why rollouts became trajectories, or why not."""
    unknown = "" if case.is_judged else "not judged; "
    if case.is_selected:
        return "selected"
    if select == "random":
        return unknown + "not drawn"
    if not case.is_right:
        status = "right in part" if case.status == "correct" else case.status
        reason = "pruned" if case.is_pruned else unknown + status
    elif select != "no-caption-reward" and case.is_below:
        reason = "caption reward at or below alpha"
    elif select != "no-caption-reward" and not case.is_above:
        reason = "caption has unjudged rollouts that could settle it"
    else:
        reason = "not drawn" if select == "random-qualified" else "not among the shortest"
    if case.is_judged:
        return reason
    if case.is_above or case.is_below:
        return f"{reason}; caption settled {'above' if case.is_above else 'below'} alpha"
    return f"{reason}; caption undecided"


def reasons(
    rollouts: Rollouts,
    statuses: list[str],
    captions: CaptionRewards,
    selected: Mask,
    select: Select,
) -> pa.Array:
    """The reason of each rollout, in words made once for each case."""
    return text_of_each(
        lambda status, *flags: reason_for(Case(statuses[status], *map(bool, flags)), select),
        rollouts.status,
        selected,
        rollouts.is_pruned,
        rollouts.is_judged,
        rollouts.is_right,
        rollouts.of_caption(captions.is_above),
        rollouts.of_caption(captions.is_below),
    )


def run(job: Job, config: Config) -> Outcome:
    """Write the rewards and trajectories of each shard that is not there yet."""
    rollouts, verdicts = job.folder("rollouts"), job.folder("verdicts")
    count = require_table(rollouts, "sophia reason")
    require_table(verdicts, "sophia verify", count)
    _refuse_other_pruning(rollouts, config)
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


def _refuse_other_pruning(rollouts: Path, config: Config) -> None:
    """Check that no rollout was given up that these settings might choose.

    Raises:
        RefusedError: they were pruned for another alpha or selection, or for fewer trajectories.
    """
    for served in pruned_for(rollouts):
        if differing := not_served(served, config):
            wanted = config.model_dump()
            found = "; ".join(
                f"propagate.{name} = {served[name]!r}, now {wanted[name]!r}" for name in differing
            )
            raise RefusedError(
                f"{rollouts} was pruned for other settings: {found}.",
                "Set them back, or delete rollouts/ and run `sophia reason` again.",
            )


def pruned_for(rollouts: Path) -> list[dict[str, Any]]:
    """The settings that a table's rollouts were pruned for; one, or none if they were not."""
    found: list[dict[str, Any]] = []
    for path in tables.shards(rollouts):
        written = tables.read_metadata(path)
        if written is None or written.settings.get("reason.prune", "off") == "off":
            continue
        served = {name: written.settings[f"propagate.{name}"] for name in PRUNED_FOR}
        if served not in found:
            found.append(served)
    return found


def not_served(served: dict[str, Any], config: Config) -> list[str]:
    """The settings for which rollouts may be missing that were pruned for others."""
    return [
        name
        for name in PRUNED_FOR
        if getattr(config, name) != served[name]
        and not (name == "keep" and config.keep < served["keep"])
    ]


def propagate_shard(job: Job, config: Config, index: int, count: int) -> None:
    """Score one shard's rollouts, and write its trajectories and rewards."""
    started = time.monotonic()
    samples, rollouts, verdicts, rewards, trajectories = (
        tables.shard_path(job.folder(name), index, count)
        for name in ("samples", "rollouts", "verdicts", "rewards", "trajectories")
    )
    shard = read_shard(rollouts, verdicts)
    written = tables.read_metadata(rollouts)
    is_on_policy = written is not None and written.settings.get("reason.behavior") == "image"
    funnel = Funnel(samples, shard)

    def metadata(num_rows: int) -> tables.Metadata:
        return replace(
            job.metadata,
            num_rows=num_rows,
            seconds=round(time.monotonic() - started, 3),
            finished_at=time.time(),
            figures=dict(funnel.counts),
        )

    def rewarded() -> Iterator[pa.Table]:
        chosen: list[Ints] = [np.array([], np.int32)]
        for piece in shard.pieces():
            captions = caption_rewards(piece, config.alpha)
            selected = choose(piece, shard.sample_ids, captions, config, job.seed)
            why = reasons(piece, shard.statuses, captions, selected, config.select)
            funnel.add(piece, captions.is_above, selected)
            chosen.append(piece.row[selected])
            yield reward_table(shard, piece, captions.value, selected, why)
        # Before the rewards get their name: where they are, the trajectories are too.
        rows = np.concatenate(chosen)
        tables.stream_atomically(
            trajectories,
            schema(Trajectory),
            trajectory_tables(rollouts, shard, rows, is_on_policy),
            lambda: metadata(len(rows)),
        )

    tables.stream_atomically(
        rewards, REWARDS, rewarded(), lambda: metadata(len(shard.order)), has_statistics=False
    )


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
