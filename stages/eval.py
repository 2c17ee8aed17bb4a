"""Eval: pass@1 of a checkpoint on benchmarks, with standard errors.

Input: a checkpoint (or the base policy) and a benchmark: one of `stages.benchmarks`, or any
ingested set with answers. Output: evals/BENCHMARK/ (a row per attempt, and results.json).

Section 6.1 of the paper: zero-shot, temperature 1.0, top-p 0.8, up to 16,384 new tokens, always
with the slow-thinking system prompt. Rules score; where `llm_judge` or `llm_extractor` is on, a
language model looks at what they reject or can't find, and both figures stand side by side.

    sophia eval --run RUN --set eval.benchmarks='["world"]'
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from data import tables
from data.errors import ConfigError, InputError
from data.records import Attempted, Sample
from data.world import PREFIX
from stages.benchmark_verdicts import attempts_at, best, by_own_rule, num_shards, questions_of
from stages.benchmarks import Benchmark, Question, Score, expand, load_benchmark
from stages.engines import Completion, Request, Sampling
from stages.eval_judging import judge_evaluation, without_model
from stages.eval_results import write_results
from stages.generation import complete, encoded_images, group_rows
from stages.job import Job, Outcome, Planned
from stages.prompts import answer_messages, load_prompt, question_text
from stages.provenance import scorer_version
from stages.second_opinion import ROLE, LlmConfig, Opinions, check_model
from stages.seeds import seed_for
from stages.serving import Model
from stages.shards import map_shards
from stages.verifiers import Attempt, Judgement
from stages.verifiers.pool import Judge

SAMPLING = ("temperature", "top_p", "max_tokens", "num_samples")


class Config(LlmConfig):
    """Settings of the eval stage."""

    # Each benchmark's identity is its own, so that adding one leaves the others as they are.
    ENGINE_ONLY: ClassVar[tuple[str, ...]] = ("benchmarks", "checkpoint", "root")
    GROWING: ClassVar[tuple[str, ...]] = ("num_samples",)

    benchmarks: tuple[str, ...] = ("world",)
    """`world` (the built-in held-out questions); mmmu, mmmu_pro, mathvista, mathverse, dynamath,
    mathvision, mv_math, olympiadbench, or `paper` for these eight; or the folder of a run with
    ingested samples. `olympiadbench:OE_MM` is the parts whose name begins so."""
    root: Path | None = None
    """Where `sophia eval fetch` put local copies; by default they come from the hub."""
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
    llm_judge: Literal["off", "authors", "all"] = "off"
    """Where `models.verifier` is asked about answers that the rules reject: `authors`: on
    benchmarks whose authors, or the paper, have a model judge; `all`: on all."""

    @property
    def has_judge(self) -> bool:
        """Whether a language model judges what the rules reject."""
        return self.llm_judge != "off"

    def judges(self, benchmark: Benchmark) -> bool:
        """Whether a language model judges a benchmark's answers."""
        return self.llm_judge == "all" or (self.llm_judge == "authors" and benchmark.is_llm_judged)

    @field_validator("benchmarks", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


def models_used(config: Config) -> tuple[str, ...]:
    """The models this stage runs."""
    return ("policy", ROLE) if config.asks_model else ("policy",)


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
    """Evaluate on every benchmark that is not done yet; first all answers, then a model on them."""
    if config.asks_model:
        check_model(job)
    path = checkpoint_path(job.run_dir, config, job.models["policy"].path)
    model = job.models["policy"].model_copy(update={"path": path})
    job = replace(job, models=job.models | {"policy": model})
    asking = without_model(job) if config.asks_model else job
    outcome = Outcome()
    benchmarks = []
    with Model(asking, "policy") as policy:
        for name in expand(config.benchmarks):
            benchmark = load_benchmark(name, config.num_questions, config.root)
            part = _evaluate(asking, policy, config, benchmark)
            outcome.rows += part.rows
            outcome.errors += part.errors
            outcome.complete &= part.complete
            if not part.complete:
                return outcome
            _add_results(job, config, benchmark, outcome)
            benchmarks.append((benchmark, part))
    if config.asks_model:
        _judge(job, config, benchmarks, outcome)
    return outcome


def _judge(
    job: Job, config: Config, benchmarks: Sequence[tuple[Benchmark, Outcome]], outcome: Outcome
) -> None:
    """Have a model look at the answers, and add what comes of it to the outcome."""
    with Opinions(job, config) as opinions:
        for benchmark, part in benchmarks:
            judges = config.judges(benchmark)
            if not judges and config.llm_extractor == "off":
                continue
            name = evaluation_name(benchmark.name, config)
            judged = judge_evaluation(
                job, opinions, benchmark, name, config.llm_extractor, judges=judges
            )
            outcome.complete &= judged.complete
            if not judged.complete:
                return
            outcome.errors += judged.errors - part.errors  # those of the answers are among them
            _add_results(job, config, benchmark, outcome)


def _add_results(job: Job, config: Config, benchmark: Benchmark, outcome: Outcome) -> None:
    """Work out an evaluation's results, and write them."""
    folder = job.folder(evaluation_name(benchmark.name, config))
    told = {"benchmark": benchmark.name, "checkpoint": config.checkpoint}
    made_with = {
        "questions": benchmark.digest,
        "system_prompt": config.system_prompt,
        "sampling": {"seed": job.seed, **{name: getattr(config, name) for name in SAMPLING}},
    }
    outcome.figures[folder.name] = write_results(
        folder, told, made_with, has_variants=benchmark.has_variants
    )


def evaluation_name(benchmark: str, config: Config) -> str:
    """The folder of an evaluation: `evals/world`, or `evals/world@base` for the base policy."""
    if config.checkpoint == "final":
        return f"evals/{benchmark}"
    if config.checkpoint == "base":
        return f"evals/{benchmark}@base"
    name = Path(config.checkpoint.removeprefix(PREFIX)).name
    return f"evals/{benchmark}@{name}-{tables.digest_of(config.checkpoint)[:6]}"


def _evaluate(job: Job, policy: Model, config: Config, benchmark: Benchmark) -> Outcome:
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

    there = bool(tables.shards(job.folder(name)))
    count = tables.shard_count(job.folder(name)) if there else num_shards(benchmark)

    def plan(index: int) -> Iterator[Planned]:
        questions = questions_of(benchmark, index, count)
        prompts = (((each.sample.sample_id, 0), each) for each in questions)
        return group_rows(prompts, range(config.num_samples), model.group_size)

    def request(row: Planned) -> Request | Completion:
        sample: Sample = row.item.sample
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
        answered = complete(policy, rows, request, lambda row, done: (row, done))
        with Judge() as judge:
            judged = judge.judge(_to_judge(answered), job.should_stop)
            for _, tagged in groupby(judged, key=lambda found: found[0][0].key):
                answers, found = zip(*tagged, strict=True)
                row, completion = answers[0]
                if len(found) == 1 + len(row.item.alternatives):  # or it is time to stop
                    yield _record(row, completion, best(found), benchmark.score)

    return map_shards(
        job,
        record=Attempted,
        table=name,
        count=count,
        plan=plan,
        execute=execute,
        total=benchmark.num_questions * config.num_samples,
    )


def _to_judge(
    answered: Iterator[tuple[Planned, Completion]],
) -> Iterator[tuple[tuple[Planned, Completion], Attempt]]:
    """Each answer, once for each gold answer that will do."""
    for row, completion in answered:
        for attempt in attempts_at(row.item, vars(completion)):
            yield (row, completion), attempt


def _record(
    row: Planned, completion: Completion, found: Judgement, score: Score | None
) -> Attempted:
    question: Question = row.item
    by_verifier = None
    if completion.finish_reason == "stop" and completion.text is not None:
        # The verifier's word is kept beside the benchmark's own, to see where the two part.
        text = (completion.prefill or "") + completion.text
        found, by_verifier = by_own_rule(question, text, found, score)
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
        gold=question.sample.answer,
        error=completion.error,
        rule=found.verifier,
        scorer=scorer_version(),
        verifier_reward=by_verifier,
        cluster=question.cluster,
        labels=json.dumps(question.labels, ensure_ascii=False) if question.labels else None,
        question=question_text(vars(question.sample)),
        choices=list(question.options) or question.sample.choices,
        prefill=completion.prefill,
    )
