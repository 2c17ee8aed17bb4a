"""Judge: how well each on-policy rollout thinks, whatever its final answer.

Input tables: samples, rollouts (behavior `image`). Output table: thinking (one row per rollout).

SophiaVL-R1's thinking reward R_t: a judge model reads question, images and the thinking alone, and
gives a score in [0, 1] in steps of 0.1 for five aspects: logical soundness, correctness of the
reasoning, freedom from errors, consistency of language, and no redundancy. A rollout that does not
think has R_t = 0, as the prompt says of empty thinking, without anybody being asked.

    sophia judge --run RUN
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from data import tables
from data.records import Rollout, Sample, Thinking
from stages.engines import Completion, Request, Sampling
from stages.generation import (
    complete,
    encoded_images,
    group_rows,
    require_table,
    unknown_sample,
)
from stages.job import Job, Key, Outcome, Planned
from stages.prompts import judge_messages, load_prompt
from stages.seeds import seed_for
from stages.serving import Model
from stages.shards import map_shards
from stages.thinking import ROLLOUT_COLUMNS, sample_columns, thinking_of
from stages.verifiers.responses.extract import after_thinking

NO_THINKING = 0.0
"""R_t of a rollout that does not think; its row has no text, and no tokens."""
NUMBER = r"[*_`\s]*(?P<score>0(?:\.\d+)?|1(?:\.0+)?)[*_`\s]*"
SCORE = re.compile(
    rf"[#>*_`\s-]*(?:(?:overall|final)\s+)?(?:score|rating)[*_`\s]*[:=\uff1a]{NUMBER}\.?[*_`\s]*",
    re.IGNORECASE,
)
ALONE = re.compile(NUMBER)


class Config(BaseModel):
    """Settings of the judge stage."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    ENGINE_ONLY: ClassVar[tuple[str, ...]] = ()
    GROWING: ClassVar[tuple[str, ...]] = ()

    prompt: str = "judge"
    """What the judge is asked: a built-in prompt, or the path of a text file."""
    temperature: float = Field(0.0, ge=0)
    """0: the likeliest token always."""
    max_tokens: int = Field(1024, ge=1)
    """Longest judgement, in tokens of the judge."""
    with_images: bool = True
    """Whether the judge sees the images; turn it off for a text-only one."""


def models_used(config: Config) -> tuple[str, ...]:
    """The models this stage runs."""
    return ("judge",)


def tables_read(config: Config) -> tuple[str, ...]:
    """The tables this stage reads."""
    return ("samples", "rollouts")


def run(job: Job, config: Config) -> Outcome:
    """Score the rollouts that have no score yet."""
    samples, rollouts = job.folder("samples"), job.folder("rollouts")
    count = require_table(samples, "sophia ingest")
    require_table(rollouts, "sophia reason --set reason.behavior=image", count, job.follow)
    prompt = load_prompt(config.prompt)
    model = job.models["judge"]
    sampling = Sampling(temperature=config.temperature, max_tokens=config.max_tokens)

    def asked(index: int) -> Iterator[tuple[Key, Any]]:
        path = tables.shard_path(samples, index, count)
        columns = sample_columns(with_images=config.with_images)
        by_id = {row["sample_id"]: row for row in tables.read_rows(path, Sample, columns)}
        path = tables.shard_path(rollouts, index, count)
        for row in tables.read_rows(path, Rollout, ROLLOUT_COLUMNS):
            if row["sample_id"] not in by_id:
                raise unknown_sample(path, row["sample_id"])
            key = (row["sample_id"], row["caption_index"], row["rollout_index"])
            yield key, (by_id[row["sample_id"]], row)

    def plan(index: int) -> Iterator[Planned]:
        for row in group_rows(asked(index), range(1), model.group_size):
            yield replace(row, key=row.key[:-1])  # a rollout is judged once

    def request(row: Planned) -> Request | Completion:
        sample, rollout = row.item
        if error := sample["error"] or rollout["error"]:
            return Completion(id=row.key, error=error)
        thinking = thinking_of(rollout)
        if thinking is None:
            return Completion(id=row.key, finish_reason="stop")  # there is nothing to ask about
        return Request(
            id=row.key,
            messages=judge_messages(sample, thinking, prompt, with_images=config.with_images),
            images=encoded_images(sample) if config.with_images else [],
            sampling=sampling,
            seed=seed_for(job.seed, "judge", *row.key),
            group=row.group,
            prefix=row.prefix,
        )

    with Model(job, "judge") as judge:
        return map_shards(
            job,
            record=Thinking,
            table="thinking",
            count=count,
            plan=plan,
            execute=lambda rows: complete(judge, rows, request, to_thinking(job)),
            total=tables.estimate_rows(rollouts, samples),
            inputs=tables_read(config),
        )


def parse_score(text: str) -> float | None:
    """The score that a judgement ends with, in [0, 1], to the nearest tenth; None without one.

    Its last line has to be the score and nothing else, and no other line may be another score; or
    the whole judgement is a number. What a judge thinks before it judges does not count.
    """
    said = (after_thinking(text) or "").strip().splitlines()
    found = [SCORE.fullmatch(line) or (len(said) == 1 and ALONE.fullmatch(line)) for line in said]
    scores = {float(match["score"]) for match in found if match}
    return round(scores.pop(), 1) if len(scores) == 1 and found[-1] else None


def _judgement(completion: Completion) -> str:
    return (completion.prefill or "") + (completion.text or "")


def to_thinking(job: Job) -> Any:
    """How a completion becomes a row of `thinking`."""

    def record(row: Planned, completion: Completion) -> Thinking:
        sample_id, caption_index, rollout_index = row.key
        is_whole = completion.finish_reason == "stop"
        score = parse_score(_judgement(completion)) if is_whole and completion.text else None
        error = completion.error
        if completion.text is None and completion.finish_reason == "stop":
            score = NO_THINKING
        elif error is None and completion.finish_reason in ("stop", "length") and score is None:
            what = "the judge named none" if is_whole else "the judgement was cut off"
            error = f"score: {what}"
        return Thinking(
            sample_id=sample_id,
            caption_index=caption_index,
            rollout_index=rollout_index,
            thinking_reward=score,
            text=completion.text,
            num_tokens=completion.length,
            token_ids=completion.known_token_ids,
            finish_reason=completion.finish_reason,
            model=job.models["judge"].path,
            error=error,
        )

    return record
