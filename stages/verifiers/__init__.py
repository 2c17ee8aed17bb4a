r"""Answers into verdicts: extract the final answer, compare it with the gold one, say how.

Cheap rules decide first, in this process; what needs algebra goes to workers that can be killed
(`pool.py`). Rewards and evaluation share this module, so a policy is measured by what trained it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stages.verifiers.choice import choice_letter, is_choice
from stages.verifiers.extract import extract_answer
from stages.verifiers.text import normalize, numeric_value

JUDGED = {"correct": 1.0, "incorrect": 0.0, "no_answer": 0.0, "truncated": 0.0}
"""Outcome reward R(y) of each status; a status that is not here was not judged (null)."""

WORD = re.compile(r"[^\W\d_]{2,}")
"""A gold answer that is a word is compared as text: as algebra it would equal its anagrams."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the verifier says of one attempt."""

    status: str
    extracted_answer: str | None = None
    verifier: str | None = None
    """The rule that decided."""

    @property
    def outcome_reward(self) -> float | None:
        """R(y) of Eq. 4; None where it was not judged: never 0 for a failure of ours."""
        return JUDGED.get(self.status)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """An answered question, ready to be judged."""

    gold: str | None
    answer_type: str | None = None
    choices: tuple[str, ...] = ()
    text: str | None
    """The response, with what the chat template wrote of it in front."""
    finish_reason: str = "stop"
    error: str | None = None

    @classmethod
    def of(cls, sample: Mapping[str, Any], rollout: Mapping[str, Any]) -> "Attempt":
        """From a row of `samples` and a row of `rollouts`."""
        text = rollout["text"]
        return cls(
            gold=sample["answer"],
            answer_type=sample["answer_type"],
            choices=tuple(sample["choices"] or ()),
            text=None if text is None else (rollout.get("prefill") or "") + text,
            finish_reason=rollout["finish_reason"],
            error=rollout.get("error"),
        )


def judge_by_rule(attempt: Attempt) -> Judgement | tuple[str, str]:
    """Decide without algebra where possible.

    Returns:
        The judgement, or (gold, answer) to compare symbolically.
    """
    early = _without_comparison(attempt)
    if early is not None:
        return early
    answer = extract_answer(attempt.text or "")
    if answer is None:
        return Judgement(status="no_answer", verifier="extract")
    gold = (attempt.gold or "").strip()
    if is_choice(gold, attempt.answer_type, attempt.choices):
        wanted = choice_letter(gold, attempt.choices)
        chosen = choice_letter(answer, attempt.choices)
        return _judged(wanted == chosen, answer, "choice")
    if normalize(gold) == normalize(answer):
        return _judged(True, answer, "string")
    gold_value, value = numeric_value(gold), numeric_value(answer)
    if gold_value is not None and value is not None:
        return _judged(gold_value == value, answer, "number")
    if attempt.answer_type == "text" or WORD.fullmatch(normalize(gold)):
        return _judged(False, answer, "string")
    return gold, answer


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
    if attempt.finish_reason == "length":
        return Judgement(status="truncated")
    return None


def _judged(correct: bool, answer: str, verifier: str) -> Judgement:
    status = "correct" if correct else "incorrect"
    return Judgement(status=status, extracted_answer=answer, verifier=verifier)
