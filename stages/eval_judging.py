"""A language model on the answers of an evaluation, as many benchmarks' authors score them.

Input: the finished table evals/BENCHMARK. Output: evals/BENCHMARK/judged, a row for each answer.

The policy's engine has ended by then, so the two models need not share a GPU; the answers and what
the rules say of them stay as they are, and another judge can be asked later. The paper extracts
with a language model throughout, and has one judge MMMU, MathVerse and MV-MATH.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from data import tables
from data.records import KEYS, Attempted, Verdict
from stages.benchmark_verdicts import (
    asked_text,
    attempts_at,
    best,
    boxed,
    by_own_rule,
    gold_text,
    questions_of,
)
from stages.benchmarks import Benchmark, Question
from stages.cases import Case
from stages.eval_results import JUDGED
from stages.identity import identify
from stages.job import Job, Outcome, Planned
from stages.queries import readable_tail
from stages.second_opinion import FINISHED, ROLE, Opinions
from stages.shards import map_shards
from stages.verifiers import Judgement
from stages.verifiers.graded import graded_kind
from stages.verifiers.pool import Judge

COLUMNS = (*KEYS, "text", "prefill", "status", "outcome_reward", "extracted_answer", "rule")


def without_model(job: Job) -> Job:
    """The job of asking alone: what the answers are does not depend on who judges them later."""
    settings = {
        name: value
        for name, value in job.metadata.settings.items()
        if not name.startswith(("eval.llm_", f"models.{ROLE}."))
    }
    metadata = identify(job.stage, settings, job.metadata.growing, ())
    return replace(job, metadata=metadata)


def judge_evaluation(
    job: Job,
    opinions: Opinions,
    benchmark: Benchmark,
    name: str,
    extractor: str,
    *,
    judges: bool,
) -> Outcome:
    """Write what is not there yet of an evaluation's judged table.

    Args:
        job: the attempt, with all settings in its metadata.
        opinions: the model's, remembered from one benchmark to the next.
        benchmark: the questions.
        name: of the evaluation, such as `evals/mmmu`.
        extractor: `off`, `missing` or `all`: where the model looks for final answers.
        judges: whether it judges what the rules reject.
    """
    folder = job.folder(name)
    count = tables.shard_count(folder)
    identity = identify(job.stage, job.metadata.settings, job.metadata.growing, [folder])
    job = replace(job, metadata=identity)

    def plan(rules: Judge, index: int) -> Iterator[Planned]:
        path = tables.shard_path(folder, index, count)
        rows = list(tables.read_rows(path, Attempted, COLUMNS))
        questions = _questions(benchmark, index, count)
        for position, row in enumerate(rows):
            key = tuple(row[column] for column in KEYS)
            question = questions[row["sample_id"]]
            case = Case(
                key=key,
                question=asked_text(question),
                gold=gold_text(question),
                response=_tail(row, question, extractor),
                rule=_judgement(row, question),
                compare=partial(_compare, rules, question, benchmark, job),
                is_judged_by_model=lambda found: judges,
            )
            yield opinions.plan(Planned(key=key, group=position, item=None), case)

    with Judge() as rules:
        return map_shards(
            job,
            record=Verdict,
            table=f"{name}/{JUDGED}",
            count=count,
            plan=partial(plan, rules),
            execute=opinions.ask,
            total=tables.count_rows(folder),
            inputs=(name,),
        )


def _questions(benchmark: Benchmark, index: int, count: int) -> dict[str, Question]:
    """A shard's questions, without their images."""
    return {
        each.sample.sample_id: replace(each, sample=replace(each.sample, images=None))
        for each in questions_of(benchmark, index, count)
    }


def _tail(row: Mapping[str, Any], question: Question, extractor: str) -> str | None:
    """What a model is to find the final answer in; None where it is not to look for it."""
    if row["status"] not in FINISHED[extractor] or graded_kind(question.sample.answer_type):
        return None
    return readable_tail((row["prefill"] or "") + (row["text"] or ""))


def _judgement(row: Mapping[str, Any], question: Question) -> Judgement:
    is_graded = graded_kind(question.sample.answer_type) is not None
    return Judgement(
        status=row["status"],
        extracted_answer=row["extracted_answer"],
        verifier=row["rule"],
        grade=row["outcome_reward"] if is_graded else None,
    )


def _compare(
    rules: Judge, question: Question, benchmark: Benchmark, job: Job, answer: str
) -> Judgement | None:
    """The rules on an answer that a model has read."""
    bare: dict[str, Any] = {"text": None, "finish_reason": "stop"}
    attempts = [replace(each, answer=answer) for each in attempts_at(question, bare)]
    found = [each for _, each in rules.judge(((None, one) for one in attempts), job.should_stop)]
    if len(found) < len(attempts):
        return None
    return by_own_rule(question, boxed(answer), best(found), benchmark.score)[0]
