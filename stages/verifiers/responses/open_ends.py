"""Sentences that state no answer: hedges, questions, code, talk about grading, what would be if."""

import re

from stages.verifiers.responses.counted import UNSEEN, states_end
from stages.verifiers.responses.letters import HEDGED

QUESTION = re.compile(r"[?？]\W*$|\bwhether\b|\basks?\b", re.IGNORECASE)
GRADING = re.compile(
    r"\b(?:student|rewards?|reference answer|standard answer|model answer|ground truth|judge?ment"
    r"|grader?|score)\b",
    re.IGNORECASE,
)
"""Talk about grading is no answer."""
UNREAL = re.compile(r"\bif\b.{1,60}\bwould (?:be|equal|give|have)\b", re.IGNORECASE)
ASKED_IF = re.compile(r"\b(?:if|would|suppose|when)\b", re.IGNORECASE)
ELSEWHERE = re.compile(
    r"\b(?:see|in|from|refer to) (?:the )?"
    r"(?:step|section|figure|equation|part|line|page|table|appendix) \(?\d+\)?$",
    re.IGNORECASE,
)
"""Where to look is no answer either."""
CODE = re.compile(
    r"\bif\b.*\belse\b|\{\{[a-z_]+\}\}|__\w+__|\b\w+\(\)|\bimport \w|\b[a-zA-Z]\w*\.[a-z]\w+\("
)
CUT_OFF = re.compile(
    r"(?:\b(?:and|or|the|is|are|of|to|we|so|then|by|with|add|get|gives|equals)|[、和或是为得])\s*$"
)
"""A sentence that ends here was going on."""
WORDED = frozenset({"text", "yes/no", "choice"})
"""Kinds of gold answers that a text without a figure or formula can match."""


def leaves_open(plain: str, kind: str, question: str) -> bool:
    """Whether a sentence states no answer, whatever numbers it has.

    Args:
        plain: the sentence.
        kind: of the gold answer.
        question: what was asked, which may itself be what would be if.
    """
    if any(pattern.search(plain) for pattern in (HEDGED, CODE, QUESTION, UNSEEN)):
        return True
    if kind in WORDED:
        return False
    if CUT_OFF.search(plain):
        return True
    if kind == "number" and states_end(plain, question):
        return True
    if UNREAL.search(plain) and not ASKED_IF.search(question):
        return True
    return GRADING.search(plain) is not None or ELSEWHERE.search(plain) is not None
