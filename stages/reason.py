"""Reason: N attempts at each question, from each caption or from the image itself.

Input tables: samples, captions. Output table: rollouts (N rows per caption); with two teachers,
probes too.

Section 4.1 of the paper: the frozen text-only reasoner reads question and caption (behavior
`caption`); together with the captioner it is the behavior model mu. With behavior `image` the
policy answers from the image, on-policy: for baselines and for SophiaVL-R1. Such rollouts have
caption_index 0.

With `reason.prune = "exact"` rollouts are judged as they come, and those that can't change the
trajectories any more are given up (`pruning.py`): which ones depends on when the others end, but
the trajectories don't.

With `models.hard_reasoner` there are two teachers (`teachers.py`), and two passes.

    sophia reason --run RUN
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from data import tables
from data.errors import ConfigError
from data.records import Caption, Rollout, Sample
from stages.early_verdicts import PRUNING_SETTINGS, EarlyVerdicts, early_verdicts
from stages.engines import Completion, Request, Sampling
from stages.generation import (
    complete,
    encoded_images,
    group_rows,
    require_table,
    unknown_sample,
)
from stages.job import Job, Outcome, Planned
from stages.prompts import answer_messages, load_prompt, reason_messages
from stages.serving import Model
from stages.shards import map_shards
from stages.teachers import (
    EASY,
    HARD,
    TEACHING_SETTINGS,
    Keyed,
    Pass,
    row_seed,
    take_made,
    teach,
)

TEXT_COLUMNS = ("sample_id", "question", "choices", "hint", "error")


class Config(BaseModel):
    """Settings of the reason stage."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    ENGINE_ONLY: ClassVar[tuple[str, ...]] = ()
    ONLY_WITH: ClassVar[dict[str, str]] = {"hard_below": HARD}
    """Settings that mean nothing without a certain model."""

    behavior: Literal["caption", "image"] = "caption"
    """`caption`: the reasoner thinks from each caption; `image`: the policy, from the image."""
    num_rollouts: int = Field(8, ge=1)
    """N, rollouts per caption."""
    temperature: float = Field(1.0, ge=0)
    """0: the likeliest token always."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Draw from the smallest set of tokens with at least this probability."""
    max_tokens: int = Field(32768, ge=1)
    """Longest rollout, in tokens of the model that writes it."""
    prompt: str = "reason"
    """What the reasoner is asked: a built-in prompt, or the path of a text file."""
    system_prompt: str = "slow_thinking"
    """System prompt of on-policy rollouts (behavior `image`)."""
    prune: Literal["off", "exact"] = "off"
    """`off`: every rollout is finished; `exact`: rollouts that can no longer change which
    trajectories `propagate` keeps, with its settings of now, are given up."""

    hard_below: float = Field(0.25, ge=0, le=1)
    """A question whose pass rate under the reasoner is below this goes to `models.hard_reasoner`,
    where there is one."""

    @property
    def GROWING(self) -> tuple[str, ...]:
        """None where rollouts were given up because N and max_tokens were what they were."""
        return ("num_rollouts", "max_tokens") if self.prune == "off" else ()


def models_used(config: Config) -> tuple[str, ...]:
    """The models that reason, where they are there: one or two reasoners, or the policy itself."""
    return ("policy",) if config.behavior == "image" else (EASY, HARD)


def tables_read(config: Config) -> tuple[str, ...]:
    """The tables this stage reads."""
    return ("samples",) if config.behavior == "image" else ("samples", "captions")


def settings_read(config: Config, roles: Collection[str]) -> tuple[str, ...]:
    """Settings of other stages that this one goes by.

    Args:
        config: its own.
        roles: the models there are.
    """
    if config.prune == "exact":
        return PRUNING_SETTINGS
    return TEACHING_SETTINGS if HARD in roles and config.behavior == "caption" else ()


def run(job: Job, config: Config) -> Outcome:
    """Write the rollouts that are not there yet."""
    if HARD in job.models:
        _check_two_teachers(config)
        write = partial(_run, config)
        return teach(job, config.num_rollouts, config.hard_below, tables_read(config), write)
    alone = Pass(role=models_used(config)[0])
    if config.prune == "off":
        return _run(config, job, alone)
    with early_verdicts(job, config.num_rollouts) as verdicts:
        outcome = _run(config, job, replace(alone, remember=verdicts.remember), verdicts)
    outcome.figures["pruning"] = verdicts.pruner.figures()
    return outcome


def _check_two_teachers(config: Config) -> None:
    """Refuse settings that two teachers can't go with.

    Raises:
        ConfigError: there are such.
    """
    if config.behavior == "image":
        raise ConfigError(
            'With reason.behavior = "image" the policy answers, not models.hard_reasoner.',
            'Leave out models.hard_reasoner, or set reason.behavior = "caption".',
        )
    if config.prune == "exact":
        raise ConfigError(
            'reason.prune = "exact" gives up rollouts that models.hard_reasoner is chosen by.',
            'Set reason.prune = "off", or leave out models.hard_reasoner.',
        )


def _run(config: Config, job: Job, which: Pass, verdicts: EarlyVerdicts | None = None) -> Outcome:
    """Write a pass's rows that are not there yet; with `verdicts`, only what can be chosen."""
    samples, captions = job.folder("samples"), job.folder("captions")
    count = require_table(samples, "sophia ingest")
    num_prompts = tables.count_rows(samples)
    if config.behavior == "caption":
        require_table(captions, "sophia caption", count, job.follow)
        num_prompts = tables.estimate_rows(captions, samples)
    as_rollout = to_rollout(job, which.role)

    def record(row: Planned, completion: Completion) -> Rollout:
        rollout: Rollout = as_rollout(row, completion)
        if verdicts:
            verdicts.record(rollout)
        return rollout

    request = _asked(config, job, which, verdicts)
    figures = verdicts.pruner.figures if verdicts else dict
    with Model(job, which.role, figures) as reasoner:
        return map_shards(
            job,
            record=Rollout,
            table=which.table,
            count=count,
            plan=_planned(config, job, which, verdicts, count),
            execute=lambda rows: complete(reasoner, rows, request, record),
            total=num_prompts * config.num_rollouts,
            inputs=(*tables_read(config), *which.also_read),
            remember=which.remember,
            is_short=which.is_short,
        )


def _planned(
    config: Config, job: Job, which: Pass, verdicts: EarlyVerdicts | None, count: int
) -> Callable[[int], Iterator[Planned]]:
    """The rows of a shard, by its index."""
    group_size = job.models[which.role].group_size
    read = _captioned if config.behavior == "caption" else _seen
    repeats = range(config.num_rollouts)

    def plan(index: int) -> Iterator[Planned]:
        prompts = partial(read, job, index, count)
        if not verdicts:
            chosen = which.choose(index, prompts())
            return map(take_made, group_rows(chosen, repeats, group_size))
        verdicts.expect(index, count, tables_read(config)[-1])
        # Every prompt's first rollout, then every prompt's second one, and so on: a caption is
        # often settled by its first few, and its others are never started.
        return chain.from_iterable(
            group_rows(prompts(), repeats[rollout : rollout + 1], group_size) for rollout in repeats
        )

    return plan


def _asked(
    config: Config, job: Job, which: Pass, verdicts: EarlyVerdicts | None
) -> Callable[[Planned], Request | Completion]:
    """What the model is asked for a row, or why it need not be."""
    group_size = job.models[which.role].group_size
    ask = from_caption(config) if config.behavior == "caption" else from_image(config)
    sampling = Sampling(
        temperature=config.temperature, top_p=config.top_p, max_tokens=config.max_tokens
    )

    def request(row: Planned) -> Request | Completion:
        if error := row.item["sample"]["error"] or row.item.get("caption_error"):
            return Completion(id=row.key, error=error)
        if verdicts and group_size == 1 and not verdicts.pruner.admits(row.key):
            return Completion(id=row.key, finish_reason="pruned")
        return Request(
            id=row.key,
            sampling=sampling,
            seed=row_seed(job.seed, which.role, row.key),
            group=row.group,
            prefix=row.prefix,
            # Where rows share a batch, what is not worth starting stays in it, so that the others
            # say what they would have said; this ends it at its first token.
            keep_going=partial(verdicts.pruner.keeps, row.key) if verdicts else None,
            **ask(row.item),
        )

    return request


def _captioned(job: Job, index: int, count: int) -> Iterator[Keyed]:
    """A shard's captions, each with its question."""
    path = tables.shard_path(job.folder("samples"), index, count)
    samples = {row["sample_id"]: row for row in tables.read_rows(path, Sample, TEXT_COLUMNS)}
    columns = ("sample_id", "caption_index", "text", "finish_reason", "error")
    path = tables.shard_path(job.folder("captions"), index, count)
    for row in tables.read_rows(path, Caption, columns):
        if row["sample_id"] not in samples:
            raise unknown_sample(path, row["sample_id"])
        failed = row["finish_reason"] == "error" or row["text"] is None
        item = {
            "sample": samples[row["sample_id"]],
            "caption": row["text"],
            "caption_error": row["error"] or ("caption: it failed" if failed else None),
        }
        yield (row["sample_id"], row["caption_index"]), item


def _seen(job: Job, index: int, count: int) -> Iterator[Keyed]:
    """A shard's questions with their images."""
    path = tables.shard_path(job.folder("samples"), index, count)
    for row in tables.read_rows(path, Sample):
        yield (row["sample_id"], 0), {"sample": row}


def from_caption(config: Config) -> Any:
    """The reasoner's conversation about a caption."""
    prompt = load_prompt(config.prompt)
    return lambda item: {"messages": reason_messages(item["sample"], item["caption"], prompt)}


def from_image(config: Config) -> Any:
    """The policy's conversation about the image."""
    system = load_prompt(config.system_prompt)
    return lambda item: {
        "messages": answer_messages(item["sample"], system),
        "images": encoded_images(item["sample"]),
    }


def to_rollout(job: Job, role: str) -> Any:
    """How a completion becomes a row of `rollouts`."""

    def record(row: Planned, completion: Completion) -> Rollout:
        sample_id, caption_index, rollout_index = row.key
        return Rollout(
            sample_id=sample_id,
            caption_index=caption_index,
            rollout_index=rollout_index,
            text=completion.text,
            num_tokens=completion.length,
            token_ids=completion.known_token_ids,
            logprob=completion.logprob,
            finish_reason=completion.finish_reason,
            seed=row_seed(job.seed, role, row.key),
            model=job.models[role].path,
            error=completion.error,
            prefill=completion.prefill,
        )

    return record
