"""Verdicts on answers to a benchmark's questions: its own rule, else the project's verifier."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stages.benchmarks import Benchmark, Question, Score, apply
from stages.prompts import question_text
from stages.verifiers import Attempt, Judgement

QUESTIONS_PER_SHARD = 128
"""So that several workers can share a benchmark."""


def num_shards(benchmark: Benchmark) -> int:
    """Into how many shards an evaluation is cut."""
    return -(-benchmark.num_questions // QUESTIONS_PER_SHARD)


def questions_of(benchmark: Benchmark, index: int, count: int) -> Iterator[Question]:
    """The questions of a shard. An evaluation that is there already keeps the way it was cut."""
    by_default = count == num_shards(benchmark)
    size = QUESTIONS_PER_SHARD if by_default else -(-benchmark.num_questions // count)
    return benchmark.read(size * index, min(size * (index + 1), benchmark.num_questions))


def attempts_at(question: Question, answered: Mapping[str, Any]) -> Iterator[Attempt]:
    """An answer, once for each gold answer that will do."""
    asked = vars(question.sample)
    choices = list(question.options) or asked["choices"]
    for gold in (asked["answer"], *question.alternatives):
        yield Attempt.of(asked | {"answer": gold, "choices": choices}, answered)


def best(found: Sequence[Judgement]) -> Judgement:
    """Of judgements by several gold answers: the one most right, else one that was not judged."""
    return min(found, key=_rank)


def _rank(found: Judgement) -> tuple[bool, bool, float]:
    reward = found.outcome_reward
    return found.status != "correct", reward is not None, -(reward or 0.0)


def by_own_rule(
    question: Question, text: str, found: Judgement, score: Score | None
) -> tuple[Judgement, float | None]:
    """What holds, and what the verifier says where the benchmark has a rule of its own."""
    if score is None:
        return found, None
    return apply(score, question, text) or found, found.outcome_reward


def gold_text(question: Question) -> str:
    """All gold answers that will do, for a model to read."""
    return " or ".join((question.sample.answer or "", *question.alternatives))


def asked_text(question: Question) -> str:
    """The question with its options, for a model that does not see the image."""
    asked = vars(question.sample)
    choices = list(question.options) or asked["choices"]
    if question.text and question.text not in (asked["question"] or ""):
        asked = asked | {"question": question.text, "hint": None}  # the image shows it
    return question_text(asked | {"choices": choices})


def boxed(answer: str) -> str:
    """A response that says no more than an answer, for rules that read responses."""
    depth = 0
    for character in answer:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            break
    return f"\\boxed{{{answer}}}" if depth == 0 else f"Final answer: {answer}"
