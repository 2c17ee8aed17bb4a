"""Verify: each rollout's final answer against the gold one.

Input tables: samples, rollouts. Output table: verdicts (one row per rollout).

Section 5.2 of the paper, Eq. 4: R(y) = 1 if the final answer is right, else 0. What could not be
judged is null, with a status that says why. Rules decide; where `llm_judge` or `llm_extractor` is
on, a language model looks at some of what they reject or can't find (`second_opinion.py`).

    sophia verify --run RUN
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import ClassVar

from pydantic import Field

from data import tables
from data.errors import RefusedError, Stopped
from data.records import Rollout, Sample, Verdict
from stages.audit import count_opinions
from stages.cases import Case, verdict_row
from stages.generation import require_table, unknown_sample
from stages.job import Job, Outcome, Planned
from stages.prompts import question_text
from stages.queries import readable_tail
from stages.second_opinion import FINISHED, ROLE, LlmConfig, Opinions
from stages.shards import map_shards
from stages.verifiers import SAMPLE_COLUMNS, Attempt, Judgement
from stages.verifiers.golds import Kind, type_gold
from stages.verifiers.graded import graded_kind
from stages.verifiers.pool import Judge

ROLLOUT_COLUMNS = (
    *("sample_id", "caption_index", "rollout_index"),
    *("text", "finish_reason", "error", "prefill"),
)


class Config(LlmConfig):
    """Settings of the verify stage."""

    ENGINE_ONLY: ClassVar[tuple[str, ...]] = ("num_workers",)
    GROWING: ClassVar[tuple[str, ...]] = ()

    timeout_seconds: float = Field(5.0, gt=0)
    """The longest that one answer may take; then the rollout is not judged (`timeout`). Of 5 s the
    rules may take 2, in a batch of answers or tried again alone; a symbolic comparison may take 2,
    and 1.75 more when it is tried again alone."""
    num_workers: int = Field(0, ge=0)
    """Processes that judge; 0: one per core. Engine-only."""
    llm_judge: bool = False
    """Whether `models.verifier` is asked about answers that the rules reject. It sees the question,
    the gold answer and the extracted one, and may overturn the rules."""
    llm_kinds: tuple[Kind, ...] = ("text", "formula", "equation")
    """Kinds of gold answers that it is asked about: those that rules are weak at."""

    @property
    def has_judge(self) -> bool:
        """Whether a language model judges what the rules reject."""
        return self.llm_judge


def models_used(config: Config) -> tuple[str, ...]:
    """The models this stage runs."""
    return (ROLE,) if config.asks_model else ()


def tables_read(config: Config) -> tuple[str, ...]:
    """The tables this stage reads."""
    return ("samples", "rollouts")


def run(job: Job, config: Config) -> Outcome:
    """Write the verdicts that are not there yet."""
    samples, rollouts = job.folder("samples"), job.folder("rollouts")
    count = require_table(samples, "sophia ingest")
    require_table(rollouts, "sophia reason", count, job.follow)
    if config.asks_model:
        _refuse_pruned(job)

    def attempts(index: int) -> Iterator[Planned]:
        path = tables.shard_path(samples, index, count)
        by_id = {row["sample_id"]: row for row in tables.read_rows(path, Sample, SAMPLE_COLUMNS)}
        path = tables.shard_path(rollouts, index, count)
        for position, row in enumerate(tables.read_rows(path, Rollout, ROLLOUT_COLUMNS)):
            sample = by_id.get(row["sample_id"])
            if sample is None:
                raise unknown_sample(path, row["sample_id"])
            key = (row["sample_id"], row["caption_index"], row["rollout_index"])
            yield Planned(key=key, group=position, item=Attempt.of(sample, row))

    with ExitStack() as stack:
        rules = stack.enter_context(Judge(config.timeout_seconds, config.num_workers))
        opinions = stack.enter_context(Opinions(job, config)) if config.asks_model else None

        def settled(index: int) -> Iterator[Planned]:
            if opinions is None:
                return attempts(index)
            return _settled(job, config, rules, opinions, attempts(index))

        outcome = map_shards(
            job,
            record=Verdict,
            table="verdicts",
            count=count,
            plan=settled,
            execute=opinions.ask if opinions else partial(_by_rules, job, rules),
            total=tables.estimate_rows(rollouts, samples),
            inputs=("samples", "rollouts"),
        )
    if opinions and outcome.complete:
        outcome.figures["language_model"] = count_opinions(job.folder("verdicts"))
    return outcome


def _by_rules(job: Job, rules: Judge, planned: Iterator[Planned]) -> Iterator[Verdict]:
    wanted = takewhile(lambda row: not job.should_stop(), planned)
    judged = rules.judge(((row.key, row.item) for row in wanted), job.should_stop)
    for key, found in judged:
        yield verdict_row(key, found)


def _refuse_pruned(job: Job) -> None:
    """Check that no rollout was given up that a model might find right.

    Raises:
        RefusedError: rollouts were pruned by what the rules alone say.
    """
    for path in tables.shards(job.folder("rollouts")):
        written = tables.read_metadata(path)
        if written is not None and written.settings.get("reason.prune", "off") != "off":
            raise RefusedError(
                "rollouts/ was pruned by what the rules say, and a model may overturn them.",
                "Leave verify.llm_judge and verify.llm_extractor off, or delete rollouts/ and run "
                "`sophia reason --set reason.prune=off`.",
            )


def _settled(
    job: Job, config: Config, rules: Judge, opinions: Opinions, rows: Iterator[Planned]
) -> Iterator[Planned]:
    """A shard's rows, with the verdicts of those that the rules, or what is remembered, settle.

    Raises:
        Stopped: everything is to stop, and some are missing.
    """
    wanted = takewhile(lambda row: not job.should_stop(), rows)
    for row, found in rules.judge(((row, row.item) for row in wanted), job.should_stop):
        yield opinions.plan(row, _case(job, config, rules, row, found))
    if job.should_stop():
        raise Stopped("Stopped early.", "Run the same command again to go on.")


def _case(job: Job, config: Config, rules: Judge, row: Planned, found: Judgement) -> Case:
    attempt: Attempt = row.item
    is_graded = graded_kind(attempt.answer_type) is not None
    is_sought = found.status in FINISHED[config.llm_extractor] and not is_graded
    # The thinking is long, and needed no more.
    bare = replace(attempt, text=None)

    def compare(answer: str) -> Judgement | None:
        judged = rules.judge([(None, replace(bare, answer=answer))], job.should_stop)
        return next((each for _, each in judged), None)

    def is_judged(found: Judgement) -> bool:
        gold = type_gold(bare.gold or "", bare.asked, bare.answer_type, bare.choices)
        return config.llm_judge and gold.kind in config.llm_kinds

    return Case(
        key=row.key,
        question=question_text(vars(bare)),
        gold=attempt.gold or "",
        response=readable_tail(attempt.text) if is_sought else None,
        rule=found,
        compare=compare,
        is_judged_by_model=is_judged,
    )
