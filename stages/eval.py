"""Eval: pass@1 of a checkpoint on benchmarks, with standard errors.

Input: a checkpoint (or the base policy) and a benchmark: the held-out split of the built-in world,
or any ingested set with answers. Output: evals/BENCHMARK/ (a row per attempt, and results.json).

Section 6.1 of the paper: zero-shot, temperature 1.0, top-p 0.8, up to 16,384 new tokens, always
with the slow-thinking system prompt.

    sophia eval --run RUN --set eval.benchmarks='["world"]'
"""

import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from data import tables
from data.errors import ConfigError, InputError
from data.records import Attempted, Sample
from data.world import PREFIX
from stages.benchmarks import Benchmark, load_benchmark
from stages.engines import Completion, Request, Sampling
from stages.generation import complete, encoded_images, group_rows
from stages.job import Job, Outcome, Planned
from stages.prompts import answer_messages, load_prompt
from stages.seeds import seed_for
from stages.shards import map_shards
from stages.verifiers import Attempt, Judgement
from stages.verifiers.pool import Judge


class Config(BaseModel):
    """Settings of the eval stage."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    # Each benchmark's identity is its own, so that adding one leaves the others as they are.
    ENGINE_ONLY: ClassVar[tuple[str, ...]] = ("benchmarks", "checkpoint")
    GROWING: ClassVar[tuple[str, ...]] = ("num_samples",)

    benchmarks: tuple[str, ...] = ("world",)
    """`world` (the built-in held-out questions), or the folder of a run with ingested samples."""
    checkpoint: str = "final"
    """`final`: what this run trained; `base`: the policy it started from; or a model's path."""
    temperature: float = Field(1.0, ge=0)
    """0: the likeliest token always."""
    top_p: float = Field(0.8, gt=0, le=1)
    """Draw from the smallest set of tokens with at least this probability."""
    max_tokens: int = Field(16384, ge=1)
    """Longest answer, in tokens of the policy."""
    num_samples: int = Field(1, ge=1)
    """Answers per question; pass@1 is the mean over them."""
    num_questions: int = Field(0, ge=0)
    """Questions asked, from the first; 0: all of them (400 of the built-in world)."""
    system_prompt: str = "slow_thinking"
    """Name of a built-in prompt, or path of a text file."""

    @field_validator("benchmarks", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


@dataclass(frozen=True, kw_only=True)
class Score:
    """pass@1 over questions."""

    value: float | None
    """Mean over questions of the mean over their judged answers; None without any."""
    standard_error: float | None
    """Standard deviation of the question means over the root of their number; None below two."""
    num_questions: int
    """Questions with at least one judged answer: the denominator."""


def models_used(config: Config) -> tuple[str, ...]:
    """The models this stage runs."""
    return ("policy",)


def tables_read(config: Config) -> tuple[str, ...]:
    """Evaluation reads no table of the run: its digest holds the checkpoint's identity."""
    return ()


def checkpoint_path(run_dir: Path, config: Config, base: str | None) -> str | None:
    """The model that is evaluated.

    Raises:
        ConfigError: it is neither `final` nor `base` nor a path.
        InputError: the run has no trained checkpoint yet.
    """
    if config.checkpoint == "base":
        return base
    if config.checkpoint != "final":
        if "/" not in config.checkpoint and not config.checkpoint.startswith(PREFIX):
            raise ConfigError(
                f"eval.checkpoint = {config.checkpoint!r} names no checkpoint.",
                "Set it to final, to base, or to the path of a model.",
            )
        return config.checkpoint
    final = run_dir / "checkpoints" / "final"
    if not final.is_dir():
        raise InputError(
            f"{final} does not exist, so there is nothing to evaluate.",
            "Run `sophia train` first, or ask for the base policy: --set eval.checkpoint=base.",
        )
    return str(final)


def checkpoint_identity(path: str | None) -> str | None:
    """The digest of the training that made a checkpoint; the path of a model of other origin."""
    manifest = Path(path or "") / "sophia.json"
    if not manifest.is_file():
        return path
    return str(json.loads(manifest.read_text())["metadata"]["digest"])


def run(job: Job, config: Config) -> Outcome:
    """Evaluate on every benchmark that is not done yet."""
    outcome = Outcome()
    path = checkpoint_path(job.run_dir, config, job.models["policy"].path)
    model = job.models["policy"].model_copy(update={"path": path})
    job = replace(job, models={"policy": model})
    for name in config.benchmarks:
        benchmark = load_benchmark(name, config.num_questions)
        part = _evaluate(job, config, benchmark)
        outcome.rows += part.rows
        outcome.errors += part.errors
        outcome.complete &= part.complete
        if not part.complete:
            break
        folder = job.folder(evaluation_name(benchmark.name, config))
        results = summarize(_read_attempts(folder))
        results |= {"benchmark": benchmark.name, "checkpoint": config.checkpoint}
        _write_json(folder / "results.json", results)
        outcome.figures[folder.name] = results
    return outcome


def evaluation_name(benchmark: str, config: Config) -> str:
    """The folder of an evaluation: `evals/world`, or `evals/world@base` for the base policy."""
    if config.checkpoint == "final":
        return f"evals/{benchmark}"
    if config.checkpoint == "base":
        return f"evals/{benchmark}@base"
    name = Path(config.checkpoint.removeprefix(PREFIX)).name
    return f"evals/{benchmark}@{name}-{tables.digest_of(config.checkpoint)[:6]}"


def _evaluate(job: Job, config: Config, benchmark: Benchmark) -> Outcome:
    """Ask and judge one benchmark's questions."""
    system = load_prompt(config.system_prompt)
    model = job.models["policy"]
    name = evaluation_name(benchmark.name, config)
    identity = (benchmark.digest, checkpoint_identity(model.path))
    metadata = replace(
        job.metadata,
        digest=tables.digest_of(job.metadata.digest, *identity),
        root=tables.digest_of(job.metadata.root, *identity),
    )
    job = replace(job, metadata=metadata)

    def plan(index: int) -> Iterator[Planned]:
        prompts = (((sample.sample_id, 0), sample) for sample in benchmark.samples())
        return group_rows(prompts, range(config.num_samples), model.group_size)

    def request(row: Planned) -> Request | Completion:
        sample: Sample = row.item
        if sample.error:
            return Completion(id=row.key, error=sample.error)
        return Request(
            id=row.key,
            messages=answer_messages(vars(sample), system),
            images=encoded_images(vars(sample)),
            sampling=Sampling(
                temperature=config.temperature, top_p=config.top_p, max_tokens=config.max_tokens
            ),
            seed=seed_for(job.seed, "eval", benchmark.name, *row.key),
            group=row.group,
        )

    def execute(rows: Iterator[Planned]) -> Iterator[Attempted]:
        answered = complete(job, "policy", rows, request, lambda row, done: (row, done))
        with Judge() as judge:
            for answer, found in judge.judge(_to_judge(answered), job.should_stop):
                yield _record(*answer, found)

    return map_shards(
        job,
        record=Attempted,
        table=name,
        count=1,
        plan=plan,
        execute=execute,
        total=benchmark.num_questions * config.num_samples,
    )


def _to_judge(
    answered: Iterator[tuple[Planned, Completion]],
) -> Iterator[tuple[tuple[Planned, Completion], Attempt]]:
    for row, completion in answered:
        yield (row, completion), Attempt.of(vars(row.item), vars(completion))


def _record(row: Planned, completion: Completion, found: Judgement) -> Attempted:
    sample_id, caption_index, rollout_index = row.key
    return Attempted(
        sample_id=sample_id,
        caption_index=caption_index,
        rollout_index=rollout_index,
        text=completion.text,
        num_tokens=completion.length,
        finish_reason=completion.finish_reason,
        status=found.status,
        outcome_reward=found.outcome_reward,
        extracted_answer=found.extracted_answer,
        gold=row.item.answer,
        error=completion.error,
    )


def pass_at_1(rewards: Sequence[Sequence[float]]) -> Score:
    """pass@1 and its standard error from each question's judged rewards (Miller 2411.00640).

    A question without a judged answer is left out of both.
    """
    means = [statistics.fmean(row) for row in rewards if row]
    n = len(means)
    return Score(
        value=statistics.fmean(means) if n else None,
        standard_error=statistics.stdev(means) / math.sqrt(n) if n > 1 else None,
        num_questions=n,
    )


def summarize(attempts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The results of one evaluation, from its rows."""
    by_question: dict[str, list[float]] = defaultdict(list)
    for row in attempts:
        judged = by_question[row["sample_id"]]
        if row["outcome_reward"] is not None:
            judged.append(row["outcome_reward"])
    score = pass_at_1(list(by_question.values()))
    tokens = [row["num_tokens"] for row in attempts if row["status"] != "error"]
    return {
        "pass_at_1": score.value,
        "standard_error": score.standard_error,
        "num_questions": score.num_questions,
        "num_unjudged_questions": len(by_question) - score.num_questions,
        "num_answers": len(attempts),
        "statuses": dict(sorted(Counter(row["status"] for row in attempts).items())),
        "num_tokens": sum(tokens),
        "mean_tokens_per_answer": statistics.fmean(tokens) if tokens else None,
    }


def _read_attempts(folder: Path) -> list[dict[str, Any]]:
    columns = ("sample_id", "outcome_reward", "status", "num_tokens")
    return [
        row for path in tables.shards(folder) for row in tables.read_rows(path, Attempted, columns)
    ]


def _write_json(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    temporary.replace(path)
