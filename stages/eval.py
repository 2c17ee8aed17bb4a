"""Eval: pass@1 of a checkpoint on benchmarks, with standard errors.

Input: a checkpoint (or the base policy) and a benchmark: one of `stages.benchmarks`, or any
ingested set with answers. Output: evals/BENCHMARK/ (a row per attempt, and results.json).

Section 6.1 of the paper: zero-shot, temperature 1.0, top-p 0.8, up to 16,384 new tokens, always
with the slow-thinking system prompt. Rules score; where `llm_judge` or `llm_extractor` is on, a
language model looks at what they reject or can't find, and both figures stand side by side.

    sophia eval --run RUN --set eval.benchmarks='["world"]'
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from stages.benchmarks import Benchmark, expand, load_benchmark
from stages.engines import Sampling
from stages.eval_answers import answer_benchmark
from stages.eval_checkpoint import checkpoint_path, evaluation_name
from stages.eval_judging import judge_evaluation, without_model
from stages.eval_results import write_results
from stages.job import Job, Outcome
from stages.prompts import load_prompt
from stages.second_opinion import ROLE, LlmConfig, Opinions, check_model
from stages.serving import Model

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


def works_without_samples(config: Config) -> bool:
    """Whether the run may be an empty folder: what is asked are benchmarks."""
    return True


def tables_read(config: Config) -> tuple[str, ...]:
    """Evaluation reads no table of the run: its digest holds the checkpoint's identity."""
    return ()


def run(job: Job, config: Config) -> Outcome:
    """Evaluate on every benchmark that is not done yet; first all answers, then a model on them."""
    if config.asks_model:
        check_model(job)
    path = checkpoint_path(job.run_dir, config.checkpoint, job.models["policy"].path)
    model = job.models["policy"].model_copy(update={"path": path})
    job = replace(job, models=job.models | {"policy": model})
    asking = without_model(job) if config.asks_model else job
    outcome = Outcome()
    benchmarks = []
    with Model(asking, "policy") as policy:
        for name in expand(config.benchmarks):
            benchmark = load_benchmark(name, config.num_questions, config.root)
            part = _answer(asking, policy, config, benchmark)
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


def _answer(job: Job, policy: Model, config: Config, benchmark: Benchmark) -> Outcome:
    """Ask one benchmark's questions."""
    return answer_benchmark(
        job,
        policy,
        benchmark,
        evaluation_name(benchmark.name, config.checkpoint),
        system=load_prompt(config.system_prompt),
        sampling=Sampling(
            temperature=config.temperature, top_p=config.top_p, max_tokens=config.max_tokens
        ),
        num_samples=config.num_samples,
    )


def _judge(
    job: Job, config: Config, benchmarks: Sequence[tuple[Benchmark, Outcome]], outcome: Outcome
) -> None:
    """Have a model look at the answers, and add what comes of it to the outcome."""
    with Opinions(job, config) as opinions:
        for benchmark, part in benchmarks:
            judges = config.judges(benchmark)
            if not judges and config.llm_extractor == "off":
                continue
            name = evaluation_name(benchmark.name, config.checkpoint)
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
    folder = job.folder(evaluation_name(benchmark.name, config.checkpoint))
    told = {"benchmark": benchmark.name, "checkpoint": config.checkpoint}
    made_with = {
        "questions": benchmark.digest,
        "system_prompt": config.system_prompt,
        "sampling": {"seed": job.seed, **{name: getattr(config, name) for name in SAMPLING}},
    }
    outcome.figures[folder.name] = write_results(
        folder, told, made_with, has_variants=benchmark.has_variants
    )
