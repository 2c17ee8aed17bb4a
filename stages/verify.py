"""Verify: each rollout's final answer against the gold one.

Input tables: samples, rollouts. Output table: verdicts (one row per rollout).

Section 5.2 of the paper, Eq. 4: R(y) = 1 if the final answer is right, else 0. What could not be
judged is null, with a status that says why.

    sophia verify --run RUN
"""

from collections.abc import Iterator
from itertools import takewhile
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from data import tables
from data.records import Rollout, Sample, Verdict
from stages.generation import require_table, unknown_sample
from stages.job import Job, Outcome, Planned
from stages.shards import map_shards
from stages.verifiers import SAMPLE_COLUMNS, Attempt
from stages.verifiers.pool import Judge

ROLLOUT_COLUMNS = (
    *("sample_id", "caption_index", "rollout_index"),
    *("text", "finish_reason", "error", "prefill"),
)


class Config(BaseModel):
    """Settings of the verify stage."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    ENGINE_ONLY: ClassVar[tuple[str, ...]] = ("num_workers",)
    GROWING: ClassVar[tuple[str, ...]] = ()

    timeout_seconds: float = Field(5.0, gt=0)
    """The longest one comparison may take; then the rollout is not judged (`timeout`)."""
    num_workers: int = Field(0, ge=0)
    """Processes that compare; 0: one per core. Engine-only."""


def models_used(config: Config) -> tuple[str, ...]:
    """The models this stage runs."""
    return ()


def tables_read(config: Config) -> tuple[str, ...]:
    """The tables this stage reads."""
    return ("samples", "rollouts")


def run(job: Job, config: Config) -> Outcome:
    """Write the verdicts that are not there yet."""
    samples, rollouts = job.folder("samples"), job.folder("rollouts")
    count = require_table(samples, "sophia ingest")
    require_table(rollouts, "sophia reason", count, job.follow)

    def plan(index: int) -> Iterator[Planned]:
        path = tables.shard_path(samples, index, count)
        by_id = {row["sample_id"]: row for row in tables.read_rows(path, Sample, SAMPLE_COLUMNS)}
        path = tables.shard_path(rollouts, index, count)
        for position, row in enumerate(tables.read_rows(path, Rollout, ROLLOUT_COLUMNS)):
            sample = by_id.get(row["sample_id"])
            if sample is None:
                raise unknown_sample(path, row["sample_id"])
            key = (row["sample_id"], row["caption_index"], row["rollout_index"])
            yield Planned(key=key, group=position, item=Attempt.of(sample, row))

    def execute(planned: Iterator[Planned]) -> Iterator[Verdict]:
        with Judge(config.timeout_seconds, config.num_workers) as judge:
            wanted = takewhile(lambda row: not job.should_stop(), planned)
            attempts = ((row.key, row.item) for row in wanted)
            judged = judge.judge(attempts, job.should_stop)
            for (sample_id, caption_index, rollout_index), found in judged:
                yield Verdict(
                    sample_id=sample_id,
                    caption_index=caption_index,
                    rollout_index=rollout_index,
                    status=found.status,
                    outcome_reward=found.outcome_reward,
                    extracted_answer=found.extracted_answer,
                    verifier=found.verifier,
                )

    return map_shards(
        job,
        record=Verdict,
        table="verdicts",
        count=count,
        plan=plan,
        execute=execute,
        total=tables.estimate_rows(rollouts, samples),
        inputs=("samples", "rollouts"),
    )
