"""What a language model is asked about a final answer, and how its words are read.

Two tasks. `extract`: a model names the final answer of a response, which the rules then compare.
`judge`: a model says whether an answer is the gold one in other words; it sees question, gold and
the extracted answer alone, never the reasoning, which might talk it into something. Replies are
read strictly: one that does not keep to the form is no reply.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from stages.verifiers.kinds.text import normalize
from stages.verifiers.responses.extract import after_thinking

Task = Literal["extract", "judge"]

LONGEST_TAIL = 4000
"""Characters from the end of a response in which a model looks for the final answer."""
LONGEST_ANSWER = 2000
"""Characters of an answer that a model may name."""
VERDICT = re.compile(r"\W{0,8}verdict\W{1,8}(same|different)\W{0,8}", re.IGNORECASE)
ANSWER = re.compile(r"\W{0,8}answer\W{0,4}[:\uff1a]\**\s*(.*?)\s*\**", re.IGNORECASE)
NONE = re.compile(r"\W*none\W*", re.IGNORECASE)
MARKUP = re.compile(r"[\s$*`\\{}]|\\text")


@dataclass(frozen=True)
class Query:
    """One thing asked of a model; the same question about the same answer is the same query."""

    task: Task
    values: tuple[tuple[str, str], ...]
    """What stands for the `{{names}}` of the task's prompt."""

    @cached_property
    def digest(self) -> str:
        """A short name of its content."""
        text = json.dumps([self.task, self.values], ensure_ascii=False)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def extract_query(question: str, response: str) -> Query:
    """Which final answer a response has. The gold answer is not shown."""
    return Query("extract", (("question", question), ("response", response)))


def judge_query(question: str, gold: str, answer: str) -> Query:
    """Whether an answer says what the gold one says.

    Each of the two is put on one line, so that neither can look like a part of the prompt.
    """
    values = (("question", question), ("gold", _one_line(gold)), ("answer", _one_line(answer)))
    return Query("judge", values)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def readable_tail(response: str | None) -> str | None:
    """The end of what a response says after its thinking; None where it says nothing."""
    tail = (after_thinking(response or "") or "").strip()[-LONGEST_TAIL:]
    return tail or None


def is_worth_judging(answer: str | None) -> bool:
    """Whether an answer has a letter or digit: judges are known to take a lone `{` for right."""
    return answer is not None and re.search(r"\w", normalize(answer)) is not None


def parse_verdict(text: str) -> bool | None:
    """Whether a judge finds two answers the same; None where it does not say so as it was told.

    The last line has to be the verdict, and no other line may be another verdict.
    """
    said = (after_thinking(text) or "").strip().splitlines()
    verdicts = [match[1].lower() for line in said if (match := VERDICT.fullmatch(line.strip()))]
    if not verdicts or len(set(verdicts)) > 1 or not VERDICT.fullmatch(said[-1].strip()):
        return None
    return verdicts[-1] == "same"


def parse_answer(text: str) -> str | None:
    """The final answer that an extractor names.

    Returns:
        The answer; an empty text where the extractor says that there is none; None where it does
        not answer as it was told.
    """
    said = (after_thinking(text) or "").strip().splitlines()
    found = ANSWER.fullmatch(said[-1].strip()) if said else None
    answer = found[1].strip().removeprefix("`").removesuffix("`").strip() if found else ""
    if not answer:
        return None
    return "" if NONE.fullmatch(answer) else answer


def is_copied(answer: str, response: str) -> bool:
    """Whether an answer is in the response, but for its markup; else it is the extractor's own."""
    says_something = len(answer) <= LONGEST_ANSWER and re.search(r"\w", answer) is not None
    return says_something and _squeezed(answer) in _squeezed(response)


def _squeezed(text: str) -> str:
    return MARKUP.sub("", text).casefold().rstrip(".")
