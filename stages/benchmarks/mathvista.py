"""MathVista, testmini: 1000 questions on figures, 540 with options and 460 free (2310.02255).

The gold answer of a question with options is the text of the option; options may be there twice.
Free answers are whole numbers, numbers with a given precision, or lists.

Scored as the authors do once the answer is extracted: whole numbers are cut, others rounded to the
precision, and then the same. Extraction is by rule; the authors' fallback of the most similar
option, which turns any text into an option, is left out.
"""

import contextlib
import math
from typing import Any

from data.columns import Row
from stages.benchmarks import Question
from stages.benchmarks.published import Part, Published
from stages.benchmarks.rows import (
    answer_of,
    judged,
    make_question,
    number_of,
    parse_list,
    read_letter,
    required_image,
)
from stages.verifiers import Judgement
from stages.verifiers.text import normalize

VALUE = "and provide the final value, e.g.,"
HINTS = {
    "multi_choice": "Please answer the question and provide the correct option letter, e.g., A, B, "
    "C, D, at the end.",
    "integer": f"Please answer the question requiring an integer answer {VALUE} 1, 2, 3, at the "
    "end.",
    "float1": "Please answer the question requiring a floating-point number with one decimal place "
    f"{VALUE} 1.2, 1.3, 1.4, at the end.",
    "float2": "Please answer the question requiring a floating-point number with two decimal "
    f"places {VALUE} 1.23, 1.34, 1.45, at the end.",
    "list": "Please answer the question requiring a Python list as an answer and provide the final "
    "list, e.g., [1, 2, 3], [1.2, 1.3, 1.4], at the end.",
}


def make(row: Row, part: Part) -> Question:
    """A row of the only part."""
    is_choice = row["question_type"] == "multi_choice"
    kind = "multi_choice" if is_choice else row["answer_type"]
    decimals = int(row["precision"] or 0)
    unit = f" (Unit: {row['unit']})" if row["unit"] else ""
    return make_question(
        row["pid"],
        f"{row['question']}{unit}" if row["question"] else None,
        row["answer"],
        required_image(row["decoded_image"]),
        choices=row["choices"] or (),
        hint="Hint: " + HINTS[f"float{decimals}" if kind == "float" else kind],
        answer_type="choice" if is_choice else None,
        details={"kind": kind, "decimals": decimals},
        labels={
            "type": row["question_type"],
            **{name: row["metadata"][name] for name in ("task", "category", "grade")},
        },
    )


def score(question: Question, text: str) -> Judgement | None:
    """The authors' comparison of an extracted answer."""
    sample, kind = question.sample, question.details["kind"]
    gold = sample.answer or ""
    answer = answer_of(text) or (read_letter(text, sample.choices) if sample.choices else None)
    if answer is None:
        return judged(False, None, "mathvista")
    if kind == "multi_choice":
        choices = sample.choices or []
        letter = read_letter(text, choices)
        # An option that is there twice can be named by its text, though that is no one's letter.
        chosen = choices[ord(letter) - 65] if letter else answer
        return judged(normalize(chosen) == normalize(gold), answer, "mathvista")
    if kind == "list":
        return judged(_numbers(answer) == _numbers(gold) is not None, answer, "mathvista")
    value, wanted = number_of(answer), number_of(gold)
    if value is None or wanted is None or not math.isfinite(value):
        return None
    decimals = question.details["decimals"]
    same = int(value) == int(wanted) if kind == "integer" else _same(value, wanted, decimals)
    return judged(same, answer, "mathvista")


def _same(value: float, wanted: float, decimals: int) -> bool:
    return round(value, decimals) == round(wanted, decimals)


def _numbers(text: str) -> list[Any] | None:
    with contextlib.suppress(ValueError):
        return [float(item) for item in parse_list(text)]
    return None


PUBLISHED = Published(
    name="mathvista",
    repo="AI4Math/MathVista",
    parts=(Part(split="testmini", config="default"),),
    columns=(
        *("pid", "question", "decoded_image", "choices", "unit", "precision", "answer"),
        *("question_type", "answer_type", "metadata"),
    ),
    make=make,
    score=score,
)
load = PUBLISHED.load
