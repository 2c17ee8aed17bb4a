"""MathVista, testmini: 1000 questions on figures, 540 with options and 460 free (2310.02255).

The text asked is the authors' own `query`, which has the hint, the unit and the options. The gold
answer of a question with options is the text of the option; options may be there twice. Free
answers are whole numbers, numbers with a given precision, or lists.

Scored as the authors do once the answer is extracted: whole numbers are cut, others rounded to the
precision, and then the same. Extraction is by rule; the authors' fallback of the most similar
option, which turns any text into an option, is left out.
"""

import contextlib
import re
from typing import Any

from data.columns import Row
from stages.benchmarks import Question
from stages.benchmarks.published import Part, Published
from stages.benchmarks.rows import (
    BRACKETED,
    answer_of,
    final_part,
    judged,
    letters_of,
    make_question,
    number_of,
    parse_list,
    required_image,
)
from stages.verifiers import Judgement
from stages.verifiers.kinds.text import normalize

LAST_STATED = re.compile(r"\b(?:is|are|equals)\b|=|≈")


def make(row: Row, part: Part) -> Question:
    """A row of the only part."""
    is_choice = row["question_type"] == "multi_choice"
    kind = "multi_choice" if is_choice else row["answer_type"]
    return make_question(
        row["pid"],
        row["query"],
        row["answer"],
        required_image(row["decoded_image"]),
        answer_type="choice" if is_choice else None,
        text=row["question"] or "",
        options=tuple(row["choices"] or ()),
        details={"kind": kind, "decimals": int(row["precision"] or 0)},
        labels={
            "type": row["question_type"],
            **{name: row["metadata"][name] for name in ("task", "category", "grade")},
        },
    )


def score(question: Question, text: str) -> Judgement | None:
    """The authors' comparison of an extracted answer."""
    kind, gold = question.details["kind"], question.sample.answer or ""
    if kind == "multi_choice":
        return _score_option(question, text)
    answer = answer_of(text, "" if kind == "list" else "number")
    if answer is None:
        return judged(False, None, "mathvista")
    if kind == "list":
        return judged(_numbers(answer) == _numbers(gold) is not None, answer, "mathvista")
    value, wanted = _number(answer), number_of(gold)
    if value is None or wanted is None:
        return None
    decimals = question.details["decimals"]
    same = int(value) == int(wanted) if kind == "integer" else _same(value, wanted, decimals)
    return judged(same, answer, "mathvista")


def _score_option(question: Question, text: str) -> Judgement:
    """An option may be there twice: then its text is right, and so are both of its letters."""
    choices, gold = question.options, normalize(question.sample.answer or "")
    answer = answer_of(text, "choice")
    if answer is None and len(named := set(BRACKETED.findall(final_part(text)))) == 1:
        answer = named.pop()
    if answer is None:
        return judged(False, None, "mathvista")
    letters = letters_of(answer, choices)
    if len(letters) != 1:
        return judged(normalize(answer) == gold, answer, "mathvista")
    index = ord(min(letters)) - 65
    return judged(index < len(choices) and normalize(choices[index]) == gold, answer, "mathvista")


def _number(answer: str) -> float | None:
    """The number of an answer, or of what it says `is` or `=` in the end."""
    found = number_of(answer)
    return number_of(LAST_STATED.split(answer)[-1]) if found is None else found


def _same(value: float, wanted: float, decimals: int) -> bool:
    return round(value, decimals) == round(wanted, decimals)


def _numbers(text: str) -> list[Any] | None:
    with contextlib.suppress(ValueError):
        return [float(item) for item in parse_list(text.strip("$ "))]
    return None


PUBLISHED = Published(
    name="mathvista",
    repo="AI4Math/MathVista",
    parts=(Part(split="testmini", config="default"),),
    columns=(
        *("pid", "question", "decoded_image", "choices", "precision", "answer"),
        *("question_type", "answer_type", "metadata", "query"),
    ),
    make=make,
    score=score,
)
load = PUBLISHED.load
