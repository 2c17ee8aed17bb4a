"""What the benchmarks' rows have in common: images in the text, options, answers as numbers."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from data.records import Sample
from stages.benchmarks import Question
from stages.verifiers import Judgement
from stages.verifiers.choice import choice_letter
from stages.verifiers.extract import extract_answer

MENTION = re.compile(r"<\s*image[\s_]?(\d+)\s*>", re.IGNORECASE)
NUMBER = re.compile(r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)?\.?\d+(?:[eE][-+]?\d{1,3})?")
LONGEST_NUMBER = 60
SHORTEST_OPTION_TEXT = 5
"""Words a response must have more of before options are looked for by their text."""


def make_question(
    identity: str,
    question: str | None,
    answer: str | None,
    images: Mapping[int, Any],
    *,
    choices: Sequence[str] = (),
    hint: str | None = None,
    answer_type: str | None = None,
    **rest: Any,
) -> Question:
    """A question whose text may mention its images as `<image n>`, in one of the usual spellings.

    The images are put into the order in which they are mentioned, which is the one that models are
    asked in; those that aren't mentioned come first. An image, question or answer that is missing
    becomes the sample's error. One that can't be decoded is an error of the answer, for looking
    into all images at every start would take minutes.

    Args:
        identity: the benchmark's own name of the question.
        question: its text.
        answer: the gold answer.
        images: number in the text -> cell of the row, null where there is none.
        choices: options that are shown as text.
        hint: what the benchmark puts before the question.
        answer_type: what kind of answer it is, as in a `Sample`.
        rest: the other fields of a `Question`.
    """
    present = {number: cell for number, cell in images.items() if cell is not None}
    texts = [hint or "", question or "", *choices]
    mentioned = dict.fromkeys(int(found) for text in texts for found in MENTION.findall(text))
    order = [number for number in present if number not in mentioned] + list(mentioned)
    place = {number: index for index, number in enumerate(order, 1)}
    hint, question, *choices = (
        MENTION.sub(lambda match: f"<image {place[int(match[1])]}>", text) for text in texts
    )
    error = _problem(question, answer, [present.get(number) for number in order])
    sample = Sample(
        sample_id=identity,
        images=[] if error else [{"bytes": present[n]["bytes"], "path": None} for n in order],
        question=question,
        answer=answer,
        answer_type=answer_type,
        choices=list(choices) or None,
        hint=hint or None,
        error=error,
    )
    return Question(sample=sample, **rest)


def _problem(question: str, answer: str | None, images: Sequence[Any]) -> str | None:
    if not question.strip():
        return "question: the row has none"
    if not (answer or "").strip():
        return "answer: the row has none"
    for number, cell in enumerate(images, 1):
        if not cell or not cell.get("bytes"):
            return f"image: the row has none in the place of image {number}"
    return None


def required_image(cell: Any) -> dict[int, Any]:
    """The one image of a benchmark whose every question has one; none is an error of the row."""
    return {1: cell or {}}


def parse_list(text: str | None) -> list[str]:
    """A list that is stored as the text of a Python or JSON list; never evaluated.

    Raises:
        ValueError: it is something else.
    """
    try:
        found = ast.literal_eval(text or "[]")
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        try:
            found = json.loads(text or "[]")
        except (ValueError, RecursionError):
            raise ValueError(f"no list but {str(text)[:80]!r}") from None
    if not isinstance(found, (list, tuple)):
        raise ValueError(f"no list but {str(text)[:80]!r}")
    return [str(item) for item in found]


def final_part(text: str) -> str:
    """What a response says after its thinking."""
    return text.rpartition("</think>")[2] if "</think>" in text or "<think>" not in text else ""


def answer_of(text: str) -> str | None:
    """The final answer; where none is marked, a last line that is short enough to be one."""
    if (marked := extract_answer(text)) is not None:
        return marked
    lines = final_part(text).strip().splitlines()
    last = lines[-1].strip().strip("*$ ") if lines else ""
    return last if 0 < len(last.split()) <= 5 else None


def read_letter(text: str, choices: Sequence[str]) -> str | None:
    """The option a response names: marked or boxed, else the last `(A)`, `A` or `A.` of it.

    Failing that it is the option whose text comes last, in a response that is long enough. These
    are the rules of MMMU's authors, but for their random guess at the end.
    """
    tail = final_part(text)
    marked = extract_answer(text)
    if marked is not None and (letter := choice_letter(marked, choices)) is not None:
        return letter
    letters = "".join(chr(65 + index) for index in range(len(choices)))
    padded = f" {tail.strip(',.!?;:* ')} "
    for pattern in (rf"\(([{letters}])\)", rf" ([{letters}]) ", rf"\b([{letters}])\."):
        if found := re.findall(pattern, padded):
            return str(found[-1])
    if len(tail.split()) <= SHORTEST_OPTION_TEXT:
        return None
    places = {tail.lower().rfind(choice.lower()): index for index, choice in enumerate(choices)}
    last = max(places, default=-1)
    return chr(65 + places[last]) if last >= 0 else None


def number_of(text: str | None) -> float | None:
    """The one number in a short text, such as that in `12.5 cm`; None where there is another."""
    found = [match[0] for match in NUMBER.finditer((text or "").replace("\\,", ""))]
    if len(found) != 1 or len(found[0]) > LONGEST_NUMBER:
        return None
    return float(found[0].replace(",", "").replace("−", "-"))


def judged(correct: bool, answer: str | None, rule: str) -> Judgement:
    """A benchmark's judgement; `no_answer` where none was found."""
    status = "no_answer" if answer is None else "correct" if correct else "incorrect"
    return Judgement(status=status, extracted_answer=answer, verifier=rule)
