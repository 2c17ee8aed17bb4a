"""What the benchmarks' rows have in common: images in the text, options, answers as numbers."""

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from data.records import Sample
from stages.benchmarks import Question
from stages.verifiers import Judgement
from stages.verifiers.choices.choice import chosen_letters
from stages.verifiers.formulas.arithmetic import Undefined, constant
from stages.verifiers.kinds.reading import read
from stages.verifiers.kinds.text import HEDGE, NEGATION
from stages.verifiers.kinds.values import Quantity, Relation
from stages.verifiers.responses.extract import extract_answer

MENTION = re.compile(r"<\s*image[\s_]?(\d+)\s*>", re.IGNORECASE)
NUMBER = re.compile(
    r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"(?:[eE][-+]?\d{1,3})?(?![A-Za-z\d])"
)
FORMULA = re.compile(r"[\\^_=/]")
LONGEST_NUMBER = 60
LONGEST_ANSWER = 2000
"""Characters; what is longer is no number."""
SHORTEST_OPTION_TEXT = 5
"""Words a response must have more of before options are looked for by their text."""
BRACKETED = re.compile(r"\(([A-J])\)")
SEVERAL = re.compile(r"(?:\([A-J]\)|[\s,;.&/$*]|\b(?:and|or|both|either)\b|和|或)+")
LABELLED = re.compile(r"\(?([A-J])\)\s")
DOUBTS = (NEGATION, HEDGE, re.compile(r"\bor\b"))


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


def listed(options: Sequence[str]) -> str:
    """Options as most authors show them, a line each."""
    return "".join(f"({chr(65 + index)}) {option}\n" for index, option in enumerate(options))


def required_image(cell: Any) -> dict[int, Any]:
    """The one image of a benchmark whose every question has one; none is an error of the row."""
    return {1: cell or {}}


def parse_list(text: str | Sequence[str] | None) -> list[str]:
    """A list, or one that is stored as the text of a Python or JSON list; never evaluated.

    Raises:
        ValueError: it is something else.
    """
    if text is not None and not isinstance(text, str):
        return [str(item) for item in text]
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


def answer_of(text: str, kind: str = "") -> str | None:
    """The final answer; where none is marked, a last line that is short enough to be one.

    Args:
        text: the response.
        kind: of the gold answer, as `extract_answer` takes it.
    """
    if (marked := extract_answer(text, kind=kind)) is not None:
        return marked
    lines = final_part(text).strip().splitlines()
    last = lines[-1].strip().strip("*$ ") if lines else ""
    return last if 0 < len(last.split()) <= 5 else None


def letters_of(answer: str, choices: Sequence[str]) -> frozenset[str]:
    """The letters of the options that an answer names; several in brackets are all of them."""
    if SEVERAL.fullmatch(answer) and len(bracketed := frozenset(BRACKETED.findall(answer))) > 1:
        return bracketed
    labelled = LABELLED.match(answer.strip("$* "))
    return chosen_letters(answer, choices) or frozenset(labelled[1] if labelled else ())


def says(answer: str, gold: str) -> bool:
    """Whether an answer holds the words of the gold one, and neither denies nor doubts them."""
    plain, wanted = answer.casefold(), gold.casefold()
    if not re.search(rf"(?<![\w:.]){re.escape(wanted)}(?![\w:])", plain):
        return False
    return not any(doubt.search(plain) and not doubt.search(wanted) for doubt in DOUBTS)


def read_letter(text: str, choices: Sequence[str]) -> str | None:
    """The option a response names: marked or boxed, else the last `(A)`, `A` or `A.` of it.

    Failing that it is the option whose text comes last, in a response that is long enough. These
    are the rules of MMMU's authors, but for their random guess at the end. An answer that names
    several options names none.
    """
    tail = final_part(text)
    named = letters_of(extract_answer(text, kind="choice") or "", choices)
    if named:
        return min(named) if len(named) == 1 else None
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


class Measured(NamedTuple):
    """A number that was read from an answer."""

    value: float
    unit: str | None
    """As the verifier writes it; None: it has none."""


def quantity_of(text: str | None) -> Measured | None:
    """The one number that an answer is, as a decimal or a formula without unknowns.

    Of `x = 3` it is what the last side says; of anything else there is none.
    """
    value = read(text) if text and len(text) <= LONGEST_ANSWER else None
    if isinstance(value, Relation) and value.is_equation:
        value = value.sides[-1]
    if not isinstance(value, Quantity):
        return None
    try:
        number = complex(constant(value.node))
    except (Undefined, OverflowError):
        return None
    if number.imag or not math.isfinite(number.real):
        return None
    return Measured(number.real, value.unit)


def number_of(text: str | None) -> float | None:
    """The number that a short answer is, in prose as well; None where it has another."""
    if (found := quantity_of(text)) is not None:
        return found.value
    if text is None or FORMULA.search(text):
        return None
    numbers = [match[0] for match in NUMBER.finditer(text)]
    if len(numbers) != 1 or len(numbers[0]) > LONGEST_NUMBER:
        return None
    number = float(numbers[0].replace(",", "").replace("−", "-"))
    return number if math.isfinite(number) else None


def judged(correct: bool, answer: str | None, rule: str) -> Judgement:
    """A benchmark's judgement; `no_answer` where none was found."""
    status = "no_answer" if answer is None else "correct" if correct else "incorrect"
    return Judgement(status=status, extracted_answer=answer, verifier=rule)
