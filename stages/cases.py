"""An answer that the rules have judged, and what a language model says of it: state and steps.

First the model may be asked for the final answer, which the rules then compare; then about an
answer that the rules reject. Nothing here asks or waits (`second_opinion.py` does).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from data.records import Verdict
from stages.job import Key
from stages.queries import (
    Query,
    Task,
    extract_query,
    is_copied,
    is_worth_judging,
    judge_query,
    parse_answer,
    parse_verdict,
)
from stages.verifiers import Judgement
from stages.verifiers.forms import FORM

JUDGED_BY, EXTRACTED_BY = "llm_judge", "llm_extractor"
"""What decided, where it was no rule."""
NOT_COPIED = f"{EXTRACTED_BY}: not in the response"
"""Beside the rule whose verdict stays because the extractor named an answer of its own."""


def verdict_row(key: Key, found: Judgement, **opinion: Any) -> Verdict:
    """The row of a judgement, and of what a model had to say."""
    sample_id, caption_index, rollout_index = key
    return Verdict(
        sample_id=sample_id,
        caption_index=caption_index,
        rollout_index=rollout_index,
        status=found.status,
        outcome_reward=found.outcome_reward,
        extracted_answer=found.extracted_answer,
        verifier=found.verifier,
        **opinion,
    )


@dataclass(kw_only=True)
class Case:
    """An answer that the rules have judged, and what a model says of it so far."""

    key: Key
    question: str
    gold: str
    response: str | None
    """What follows the thinking; None where no model is to look for an answer in it."""
    rule: Judgement
    """What the rules say."""
    compare: Callable[[str], Judgement | None]
    """The rules on an answer that a model has read; None where everything is to stop."""
    is_judged_by_model: Callable[[Judgement], bool]
    """Whether a model is asked about what the rules say."""
    found: Judgement = field(init=False)
    """As things stand."""
    tasks: list[Task] = field(default_factory=list)
    """What was asked."""
    reply: str | None = None
    """The last reply."""

    def __post_init__(self) -> None:
        self.found = self.rule

    def next_query(self) -> Query | None:
        """What is to be asked of a model now; None: the case is settled."""
        if self.found.status == "error":
            return None
        if self.response is not None and not self.tasks:
            return extract_query(self.question, self.response)
        if "judge" in self.tasks or not self.is_judged_by_model(self.found):
            return None
        if self.found.status != "incorrect" or self.found.grade is not None:
            return None
        # A model is asked if two answers are the same, and these may be, but for their form.
        if FORM in (self.found.verifier or "").split(", "):
            return None
        if not is_worth_judging(self.found.extracted_answer):
            return None
        return judge_query(self.question, self.gold, self.found.extracted_answer or "")

    def take(self, task: Task, reply: str | None) -> bool:
        """Take in a reply, None where there was none; False where everything is to stop."""
        found = self._extracted(reply) if task == "extract" else self._judged(reply)
        if found is None:
            return False
        self.found, self.reply = found, reply
        self.tasks.append(task)
        return True

    def _extracted(self, reply: str | None) -> Judgement | None:
        answer = None if reply is None else parse_answer(reply)
        if answer is None:
            return Judgement(status="error", verifier=EXTRACTED_BY)
        if not answer:
            return Judgement(status="no_answer", verifier=EXTRACTED_BY)
        if not is_copied(answer, self.response or ""):
            verifier = "; ".join(filter(None, (self.rule.verifier, NOT_COPIED)))
            return replace(self.rule, verifier=verifier)
        found = self.compare(answer)
        return found and replace(found, verifier=f"{EXTRACTED_BY}, {found.verifier}")

    def _judged(self, reply: str | None) -> Judgement:
        is_same = None if reply is None else parse_verdict(reply)
        if is_same is None:
            return replace(self.found, status="error", verifier=JUDGED_BY)
        if is_same:
            return replace(self.found, status="correct", verifier=JUDGED_BY)
        return self.found
