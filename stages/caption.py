"""Caption: the policy describes each sample's images K times, without seeing the question.

Input table: samples. Output table: captions (K rows per sample).

Section 4.1 of the paper: captions are the first half of the behavior model mu; the question is
kept from the captioner, who would answer it, so that R(c) could be hacked (Appendix E).

    sophia caption --run RUN
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from data import tables
from data.records import Caption, Sample
from stages.engines import Completion, Request, Sampling
from stages.generation import complete, encoded_images, group_rows, require_table
from stages.job import Job, Outcome, Planned
from stages.prompts import caption_messages, load_prompt
from stages.seeds import seed_for
from stages.serving import Model
from stages.shards import map_shards

NO_IMAGE = "There is no image."
"""The caption of a question without images, which the policy is not asked for."""


class Config(BaseModel):
    """Settings of the caption stage."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    ENGINE_ONLY: ClassVar[tuple[str, ...]] = ()
    GROWING: ClassVar[tuple[str, ...]] = ("num_captions", "max_tokens")

    num_captions: int = Field(8, ge=1)
    """K, captions per sample."""
    temperature: float = Field(1.0, ge=0)
    """0: the likeliest token always."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Draw from the smallest set of tokens with at least this probability."""
    max_tokens: int = Field(32768, ge=1)
    """Longest caption, in tokens of the policy."""
    prompt: str = "caption"
    """Name of a built-in prompt, or path of a text file."""


def models_used(config: Config) -> tuple[str, ...]:
    """The models this stage runs."""
    return ("policy",)


def tables_read(config: Config) -> tuple[str, ...]:
    """The tables this stage reads."""
    return ("samples",)


def run(job: Job, config: Config) -> Outcome:
    """Write the captions that are not there yet."""
    samples = job.folder("samples")
    count = require_table(samples, "sophia ingest")
    prompt = load_prompt(config.prompt)
    model = job.models["policy"]
    sampling = Sampling(
        temperature=config.temperature, top_p=config.top_p, max_tokens=config.max_tokens
    )

    def plan(index: int) -> Iterator[Planned]:
        rows = tables.read_rows(tables.shard_path(samples, index, count), Sample)
        prompts = (((row["sample_id"],), row) for row in rows)
        return group_rows(prompts, range(config.num_captions), model.group_size)

    def request(row: Planned) -> Request | Completion:
        sample = row.item
        if sample["error"]:
            return Completion(id=row.key, error=sample["error"])
        if not sample["images"]:
            return Completion(id=row.key, text=NO_IMAGE, finish_reason="stop")
        return Request(
            id=row.key,
            messages=caption_messages(sample, prompt),
            images=encoded_images(sample),
            sampling=sampling,
            seed=seed_for(job.seed, "caption", *row.key),
            group=row.group,
            prefix=row.prefix,
        )

    with Model(job, "policy") as policy:
        return map_shards(
            job,
            record=Caption,
            table="captions",
            count=count,
            plan=plan,
            execute=lambda rows: complete(policy, rows, request, to_caption(job)),
            total=tables.count_rows(samples) * config.num_captions,
            inputs=("samples",),
        )


def to_caption(job: Job) -> Any:
    """How a completion becomes a row of `captions`."""

    def record(row: Planned, completion: Completion) -> Caption:
        sample_id, caption_index = row.key
        return Caption(
            sample_id=sample_id,
            caption_index=caption_index,
            text=completion.text,
            num_tokens=completion.length,
            token_ids=completion.known_token_ids,
            finish_reason=completion.finish_reason,
            seed=seed_for(job.seed, "caption", *row.key),
            model=job.models["policy"].path,
            error=completion.error,
        )

    return record
