r"""Answers into verdicts: extract the final answer, compare it with the gold one, say how.

The gold answer is typed once (`golds`), the answer read alike (`reading`), and both compared by
type (`compare`), in this process and without algebra: formulas are equal where they agree at
several points, to many digits. What no rule here can tell goes to a symbolic engine in workers that
can be killed (`pool`). Rewards and evaluation share this module, so a policy is measured by what
trained it. The text of a model is read by grammars of our own and never evaluated.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stages.verifiers import graded
from stages.verifiers.decide import decide
from stages.verifiers.golds import Gold, type_gold
from stages.verifiers.responses.extract import extract_answer

logger = logging.getLogger(__name__)

JUDGED = {"correct": 1.0, "incorrect": 0.0, "no_answer": 0.0, "truncated": 0.0}
"""Outcome reward R(y) of each status; a status that is not here was not judged (null)."""

SAMPLE_COLUMNS = (
    *("sample_id", "answer", "answer_type", "choices"),
    *("question", "hint", "tolerance"),
)
"""What judging needs of a sample."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the verifier says of one attempt."""

    status: str
    extracted_answer: str | None = None
    verifier: str | None = None
    """The rule that decided."""
    grade: float | None = None
    """R_o of an answer that may be right in part, from 0 to 1; None: it is right or wrong."""

    @property
    def outcome_reward(self) -> float | None:
        """R(y) of Eq. 4; None where it was not judged: never 0 for a failure of ours."""
        return JUDGED.get(self.status) if self.grade is None else self.grade


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """An answered question, ready to be judged."""

    gold: str | None
    answer_type: str | None = None
    choices: tuple[str, ...] = ()
    question: str | None = None
    """What was asked: its options, units and precision count."""
    hint: str | None = None
    """What stood before the question, which may say the form of the answer."""
    tolerance: str | None = None
    """How far from the gold answer a number may be, as in `Sample`."""
    text: str | None
    """The response, with what the chat template wrote of it in front."""
    finish_reason: str = "stop"
    error: str | None = None
    answer: str | None = None
    """The final answer, where something else than the rules has read it from the text."""

    @classmethod
    def of(cls, sample: Mapping[str, Any], rollout: Mapping[str, Any]) -> "Attempt":
        """From a row of `samples` and a row of `rollouts`."""
        text = rollout["text"]
        return cls(
            gold=sample["answer"],
            answer_type=sample["answer_type"],
            choices=tuple(sample["choices"] or ()),
            question=sample["question"],
            hint=sample["hint"],
            tolerance=sample.get("tolerance"),
            text=None if text is None else (rollout.get("prefill") or "") + text,
            finish_reason=rollout["finish_reason"],
            error=rollout.get("error"),
        )

    @property
    def asked(self) -> str:
        """The question with its hint, and in front what the data set says of precision."""
        tolerance = f"Tolerance of {self.tolerance}." if self.tolerance else None
        return "\n".join(part for part in (tolerance, self.hint, self.question) if part)


def judge_by_rule(attempt: Attempt) -> Judgement | tuple[str, str, str]:
    """Decide without algebra where possible.

    Returns:
        The judgement, or (gold, answer, the answer as extracted) to compare symbolically.
    """
    early = _without_comparison(attempt)
    if early is not None:
        return early
    try:
        return _by_rule(attempt)
    except Exception:  # a rule that breaks costs this answer its verdict, not the run
        logger.exception("A rule broke on the gold answer %.200r", attempt.gold)
        return Judgement(status="error", verifier="rule")


def _by_rule(attempt: Attempt) -> Judgement | tuple[str, str, str]:
    gold = type_gold(attempt.gold or "", attempt.asked, attempt.answer_type, attempt.choices)
    if gold.problem:
        return Judgement(status="unverifiable", verifier="gold")
    if attempt.finish_reason == "length":
        return Judgement(status="truncated")
    answer = attempt.answer or _extract(attempt, gold)
    if answer is None:
        return Judgement(status="no_answer", verifier="extract")
    if gold.kind in graded.KINDS:
        return _graded(gold.kind, gold.text, answer)
    decision = decide(
        attempt.gold or "", answer, attempt.asked, attempt.answer_type, attempt.choices
    )
    if decision.correct is None:
        if decision.engine is None:
            return Judgement(status="timeout", extracted_answer=answer, verifier=decision.rule)
        return (*decision.engine, answer)
    return _judged(decision.correct, answer, decision.rule)


def _extract(attempt: Attempt, gold: Gold) -> str | None:
    if gold.kind in graded.KINDS:
        return graded.extract_text(attempt.text or "")
    known = (*gold.alternatives, *gold.options)
    return extract_answer(attempt.text or "", attempt.asked, gold.kind, known)


def _graded(kind: str, gold: str, answer: str) -> Judgement:
    found = graded.grade(kind, gold, answer)
    if found is None:
        return Judgement(status="timeout", extracted_answer=answer, verifier=kind)
    status = "correct" if found >= graded.RIGHT else "incorrect"
    return Judgement(status=status, extracted_answer=answer, verifier=kind, grade=found)


def explain(attempt: Attempt) -> dict[str, Any]:
    """How an attempt's gold answer was read, for people who wonder about a verdict."""
    gold = type_gold(attempt.gold or "", attempt.asked, attempt.answer_type, attempt.choices)
    return {
        "gold": attempt.gold,
        "gold_kind": gold.kind,
        "gold_problem": gold.problem,
        "accepted": list(gold.alternatives),
        "letters": "".join(sorted(gold.letters)) or None,
        "options": list(gold.options),
        "unit_asked_for": gold.terms.unit,
        "tolerance": {
            name: value for name, value in asdict(gold.terms.tolerance).items() if value is not None
        },
    }


def judge_symbolic(answer: str, equal: bool | None) -> Judgement:
    """The judgement that a symbolic comparison comes to; None: the gold can't be parsed."""
    if equal is None:
        return Judgement(status="unverifiable", extracted_answer=answer, verifier="math")
    return _judged(equal, answer, "math")


def _without_comparison(attempt: Attempt) -> Judgement | None:
    if attempt.error is not None or attempt.finish_reason == "error":
        return Judgement(status="error")
    if attempt.gold is None or not attempt.gold.strip():
        return Judgement(status="unverifiable")
    if attempt.finish_reason == "pruned":
        return Judgement(status="unverifiable", verifier="pruned")
    return None


def _judged(correct: bool, answer: str, verifier: str) -> Judgement:
    status = "correct" if correct else "incorrect"
    return Judgement(status=status, extracted_answer=answer, verifier=verifier)
