"""Propagate-reward: outcome rewards back to captions, and the best rollouts into trajectories.

Input tables: rollouts, verdicts. Output tables: rewards (one row per rollout), trajectories.

Section 4.2 of the paper: R(c) is the mean outcome reward of a caption's N rollouts (Eq. 5); a
sample's trajectory is the shortest right rollout among captions with R(c) > alpha (Eq. 6).

    sophia propagate-reward --run RUN
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from data import tables
from data.errors import InputError, RefusedError
from data.records import Reward, Rollout, Trajectory, Verdict
from stages.generation import require_table
from stages.identity import is_outdated
from stages.job import Job, Outcome
from stages.seeds import seed_for

KEY = ("sample_id", "caption_index", "rollout_index")
PRUNED_FOR = ("alpha", "keep", "select")
"""Settings that rollouts are pruned for: others, but for a smaller `keep`, may need the rest."""
FUNNEL = (
    *("samples", "captions", "rollouts", "judged", "right", "captions_above_alpha"),
    *("samples_with_right", "samples_kept", "trajectories"),
)


class Config(BaseModel):
    """Settings of the propagate-reward stage."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    ENGINE_ONLY: ClassVar[tuple[str, ...]] = ()
    GROWING: ClassVar[tuple[str, ...]] = ()

    alpha: float = Field(0.75, ge=0, lt=1)
    """A caption's trajectories are used when R(c) > alpha, strictly (Eq. 6)."""
    keep: int = Field(1, ge=1)
    """Trajectories kept per sample (Table A4)."""
    select: Literal["shortest", "random-qualified", "no-caption-reward", "random"] = "shortest"
    """`shortest`: Eq. 6. Ablations (Table 5): `random-qualified` takes a random one of those that
    qualify, `no-caption-reward` drops R(c) > alpha, `random` takes any finished rollout."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A rollout with its verdict: what selection looks at."""

    sample_id: str
    caption_index: int
    rollout_index: int
    num_tokens: int
    finish_reason: str
    status: str
    outcome_reward: float | None

    @property
    def key(self) -> tuple[str, int, int]:
        """Sample, caption, rollout."""
        return self.sample_id, self.caption_index, self.rollout_index


@dataclass(frozen=True, kw_only=True)
class CaptionReward:
    """R(c) of one caption, as far as it is known."""

    value: float | None
    """Mean outcome reward over the judged rollouts (Eq. 5, where that is all N); null where the
    unjudged ones could still move R(c) across alpha."""
    state: Literal["above", "below", "undecided"]
    """Whether R(c) > alpha, whatever the unjudged rollouts would have been."""


def models_used(config: Config) -> tuple[str, ...]:
    """The models this stage runs."""
    return ()


def tables_read(config: Config) -> tuple[str, ...]:
    """The tables this stage reads."""
    return ("rollouts", "verdicts")


def caption_reward(rollouts: Sequence[Scored], alpha: float) -> CaptionReward:
    """R(c) of a caption from its N rollouts (Eq. 5), and its side of alpha.

    A rollout without an outcome reward (verifier failed, rollout failed or pruned) is unknown:
    the caption is above alpha if it is even with all unknown ones wrong, and below if it is even
    with all of them right.
    """
    judged = [row.outcome_reward for row in rollouts if row.outcome_reward is not None]
    right, unknown = sum(judged), len(rollouts) - len(judged)
    if right / len(rollouts) > alpha:
        return CaptionReward(value=right / len(judged), state="above")
    if (right + unknown) / len(rollouts) <= alpha:
        return CaptionReward(value=right / len(judged) if judged else None, state="below")
    return CaptionReward(value=None, state="undecided")


def choose(
    rollouts: Sequence[Scored], captions: dict[int, CaptionReward], config: Config, run_seed: int
) -> list[Scored]:
    """The rollouts of one sample that become trajectories, best first (Eq. 6 and its ablations)."""
    finished = [row for row in rollouts if row.finish_reason == "stop"]
    candidates = [row for row in finished if config.select == "random" or row.outcome_reward == 1.0]
    if config.select in ("shortest", "random-qualified"):
        candidates = [row for row in candidates if captions[row.caption_index].state == "above"]
    if config.select in ("shortest", "no-caption-reward"):
        candidates.sort(key=lambda row: (row.num_tokens, row.caption_index, row.rollout_index))
    else:
        candidates.sort(key=lambda row: seed_for(run_seed, "propagate-reward", *row.key))
    return candidates[: config.keep]


def reason_for(row: Scored, caption: CaptionReward, is_selected: bool, config: Config) -> str:
    """Why a rollout became a trajectory, or why not."""
    unknown = "not judged; " if row.outcome_reward is None else ""
    if is_selected:
        return "selected"
    if config.select == "random":
        return unknown + "not drawn"
    if unknown or row.outcome_reward != 1.0:
        reason = "pruned" if row.finish_reason == "pruned" else unknown + row.status
    elif config.select != "no-caption-reward" and caption.state == "undecided":
        reason = "caption has unjudged rollouts that could settle it"
    elif config.select != "no-caption-reward" and caption.state == "below":
        reason = "caption reward at or below alpha"
    else:
        reason = "not drawn" if config.select == "random-qualified" else "not among the shortest"
    if unknown and caption.state == "undecided":
        return f"{reason}; caption undecided"
    return f"{reason}; caption settled {caption.state} alpha" if unknown else reason


def run(job: Job, config: Config) -> Outcome:
    """Write the rewards and trajectories of each shard that is not there yet."""
    rollouts, verdicts = job.folder("rollouts"), job.folder("verdicts")
    count = require_table(rollouts, "sophia reason")
    require_table(verdicts, "sophia verify", count)
    _refuse_other_pruning(rollouts, config)
    for name in ("rewards", "trajectories"):
        for path in tables.shards(job.folder(name)):
            if is_outdated(path, job.metadata):  # rollouts were added: its rewards are others
                path.unlink()
    job.report.start(job.stage, count, len(tables.shards(job.folder("rewards"))))
    for index in range(count):
        if job.should_stop():
            return Outcome(complete=False)
        if not tables.shard_path(job.folder("rewards"), index, count).exists():
            propagate_shard(job, config, index, count)
            job.report.advance(rows=1)
    return _summary(job)


def _refuse_other_pruning(rollouts: Path, config: Config) -> None:
    """Check that no rollout was given up that these settings might choose.

    Raises:
        RefusedError: they were pruned for another alpha or selection, or for fewer trajectories.
    """
    for path in tables.shards(rollouts):
        written = tables.read_metadata(path)
        if written is None or written.settings.get("reason.prune", "off") == "off":
            continue
        served = {name: written.settings[f"propagate.{name}"] for name in PRUNED_FOR}
        wanted = config.model_dump(include=set(PRUNED_FOR))
        if wanted["keep"] < served["keep"]:
            del wanted["keep"]
        if differing := [name for name in wanted if wanted[name] != served[name]]:
            found = "; ".join(
                f"propagate.{name} = {served[name]!r}, now {wanted[name]!r}" for name in differing
            )
            raise RefusedError(
                f"{rollouts} was pruned for other settings: {found}.",
                "Set them back, or delete rollouts/ and run `sophia reason` again.",
            )


def propagate_shard(job: Job, config: Config, index: int, count: int) -> None:
    """Score one shard's rollouts, then write its trajectories, then its rewards.

    Rewards come last: where they are, the trajectories are too.
    """
    started = time.monotonic()
    rewards: list[Reward] = []
    chosen: dict[tuple[str, int, int], float] = {}
    funnel: Counter[str] = Counter(dict.fromkeys(FUNNEL, 0))
    scored = sorted(_read_scored(job, index, count), key=lambda row: row.key)
    for _, group in groupby(scored, key=lambda row: row.sample_id):
        rows = list(group)
        captions = {
            caption: caption_reward(list(members), config.alpha)
            for caption, members in groupby(rows, key=lambda row: row.caption_index)
        }
        selected = choose(rows, captions, config, job.seed)
        _count(funnel, rows, captions, selected)
        for row in selected:
            # The ablation `random` trains on what it drew as if it were right.
            chosen[row.key] = 1.0 if config.select == "random" else row.outcome_reward or 0.0
        rewards.extend(_reward(row, captions[row.caption_index], chosen, config) for row in rows)
    metadata = replace(
        job.metadata,
        seconds=round(time.monotonic() - started, 3),
        finished_at=time.time(),
        figures=dict(funnel),
    )
    trajectories = tables.to_table(_trajectories(job, index, count, chosen), Trajectory)
    _write(job, "trajectories", index, count, trajectories, metadata)
    _write(job, "rewards", index, count, tables.to_table(rewards, Reward), metadata)


def _write(
    job: Job, name: str, index: int, count: int, table: pa.Table, metadata: tables.Metadata
) -> None:
    path = tables.shard_path(job.folder(name), index, count)
    tables.write_atomically(path, table, replace(metadata, num_rows=table.num_rows))


def _reward(
    row: Scored, caption: CaptionReward, chosen: dict[tuple[str, int, int], float], config: Config
) -> Reward:
    is_selected = row.key in chosen
    return Reward(
        sample_id=row.sample_id,
        caption_index=row.caption_index,
        rollout_index=row.rollout_index,
        outcome_reward=row.outcome_reward,
        caption_reward=caption.value,
        selected=is_selected,
        reason=reason_for(row, caption, is_selected, config),
    )


def _count(
    funnel: Counter[str],
    rows: Sequence[Scored],
    captions: dict[int, CaptionReward],
    selected: Sequence[Scored],
) -> None:
    """Add one sample to the funnel."""
    right = sum(row.outcome_reward == 1.0 for row in rows)
    funnel.update(
        samples=1,
        captions=len(captions),
        rollouts=len(rows),
        judged=sum(row.outcome_reward is not None for row in rows),
        right=right,
        captions_above_alpha=sum(caption.state == "above" for caption in captions.values()),
        samples_with_right=right > 0,
        samples_kept=len(selected) > 0,
        trajectories=len(selected),
    )


def _read_scored(job: Job, index: int, count: int) -> Iterator[Scored]:
    """A shard's rollouts joined with their verdicts."""
    path = tables.shard_path(job.folder("verdicts"), index, count)
    columns = (*KEY, "status", "outcome_reward")
    verdicts = {
        tuple(row[name] for name in KEY): row for row in tables.read_rows(path, Verdict, columns)
    }
    path = tables.shard_path(job.folder("rollouts"), index, count)
    for row in tables.read_rows(path, Rollout, (*KEY, "num_tokens", "finish_reason")):
        verdict = verdicts.get(tuple(row[name] for name in KEY))
        if verdict is None:
            raise InputError(
                f"Rollout {tuple(row[name] for name in KEY)} of {path} has no verdict.",
                "Delete verdicts/ and run `sophia verify` again.",
            )
        yield Scored(**row, status=verdict["status"], outcome_reward=verdict["outcome_reward"])


def _trajectories(
    job: Job, index: int, count: int, chosen: dict[tuple[str, int, int], float]
) -> Iterator[Trajectory]:
    """The chosen rollouts with their text, in the order of the rollouts."""
    path = tables.shard_path(job.folder("rollouts"), index, count)
    written = tables.read_metadata(path)
    is_on_policy = written is not None and written.settings.get("reason.behavior") == "image"
    columns = (*KEY, "text", "prefill", "num_tokens", "token_ids", "finish_reason")
    for row in tables.read_rows(path, Rollout, columns):
        reward = chosen.get(tuple(row[name] for name in KEY))
        if reward is not None:
            yield Trajectory(
                sample_id=row["sample_id"],
                caption_index=row["caption_index"],
                rollout_index=row["rollout_index"],
                response=(row["prefill"] or "") + row["text"],
                reward=reward,
                advantage=reward,
                num_tokens=row["num_tokens"],
                token_ids=row["token_ids"] if is_on_policy else None,
                finish_reason=row["finish_reason"],
            )


def _summary(job: Job) -> Outcome:
    """Rows and funnel of the whole table, from its shards' metadata."""
    outcome = Outcome()
    funnel: Counter[str] = Counter()
    for path in tables.shards(job.folder("rewards")):
        if metadata := tables.read_metadata(path):
            outcome.rows += metadata.num_rows
            funnel.update(metadata.figures)
    outcome.figures = {"funnel": {name: funnel[name] for name in FUNNEL}}
    return outcome
