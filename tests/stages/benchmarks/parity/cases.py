"""The recorded answers: invented questions as rows of their benchmarks, answered in many forms."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stages.benchmarks import Question
from stages.benchmarks.dynamath import PUBLISHED as DYNAMATH
from stages.benchmarks.mathvision import PUBLISHED as MATHVISION
from stages.benchmarks.mathvista import PUBLISHED as MATHVISTA
from stages.benchmarks.mmmu import PUBLISHED as MMMU
from stages.benchmarks.mv_math import PUBLISHED as MV_MATH
from stages.benchmarks.olympiadbench import PUBLISHED as OLYMPIADBENCH
from stages.benchmarks.published import Part, Published
from tests.stages.benchmarks.parity import invented
from tests.stages.benchmarks.parity.forms import (
    HEDGED,
    JSON,
    JSON_HEDGED,
    JSON_UNFINISHED,
    OLYMPIAD,
    SEVERAL,
    UNFINISHED,
    USUAL,
    Form,
    rotated,
)
from tests.stages.benchmarks.parity.invented import Invented

IMAGE = {"bytes": b"not looked at", "path": None}
FEWEST = 200
IN_CHINESE = ("So the final answer is ", "所以最终答案是")
FORMS_EACH = 8
LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One recorded answer."""

    type: str
    row: Mapping[str, Any]
    """The question, in the layout of its benchmark."""
    question: Question
    form: str
    response: str
    stated: str
    """The answer that the response gives, which an LLM would extract; empty: none."""
    right: bool


def _mmmu(one: Invented, number: int) -> dict[str, Any]:
    return {
        "id": f"validation_Math_{number}",
        "question": f"<image 1> {one.question}",
        "options": str(list(one.options)),
        **{f"image_{place}": IMAGE if place == 1 else None for place in range(1, 8)},
        "answer": one.gold,
        "topic_difficulty": "Easy",
        "question_type": "multiple-choice" if one.options else "open",
    }


def _mathvista(kind: str) -> Callable[[Invented, int], dict[str, Any]]:
    def row(one: Invented, number: int) -> dict[str, Any]:
        listed = "\n".join(f"({LETTERS[i]}) {text}" for i, text in enumerate(one.options))
        return {
            "pid": str(number),
            "question": one.question,
            "decoded_image": IMAGE,
            "choices": list(one.options) or None,
            "precision": one.more.get("precision"),
            "answer": one.gold,
            "question_type": "multi_choice" if one.options else "free_form",
            "answer_type": kind,
            "metadata": {"task": "t", "category": "c", "grade": "g"},
            "query": f"Hint: ...\nQuestion: {one.question}\n{listed}".strip(),
        }

    return row


def _mathvision(one: Invented, number: int) -> dict[str, Any]:
    return {
        "id": str(number),
        "question": f"<image1> {one.question}",
        "options": list(one.options),
        "decoded_image": IMAGE,
        "answer": one.gold,
        "level": 1,
        "subject": "algebra",
    }


def _olympiad(kind: str) -> Callable[[Invented, int], dict[str, Any]]:
    def row(one: Invented, number: int) -> dict[str, Any]:
        return {
            "id": number,
            "question": one.question,
            "context": None,
            "final_answer": [one.gold],
            "images": [],
            "is_multiple_answer": bool(one.more.get("several")),
            "unit": one.more.get("unit"),
            "answer_type": kind,
            "error": one.more.get("error"),
            "subfield": "s",
            "subject": "Math",
        }

    return row


def _dynamath(kind: str) -> Callable[[Invented, int], dict[str, Any]]:
    def row(one: Invented, number: int) -> dict[str, Any]:
        return {
            "id": str(number),
            "question": one.question,
            "decoded_image": IMAGE,
            "ground_truth": one.gold,
            "answer_type": kind,
            "subject": "s",
            "knowledge_level": "k",
        }

    return row


def _mv_math(kind: str) -> Callable[[Invented, int], dict[str, Any]]:
    def row(one: Invented, number: int) -> dict[str, Any]:
        return {
            "problem_id": number,
            "question": one.question,
            "input_image": [IMAGE, IMAGE],
            "answer": one.gold,
            "answer_type": kind,
            **dict.fromkeys(("difficulty", "grade", "subject"), "x"),
            "image_relavance": "1",
        }

    return row


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A type of answer: the benchmark that has it, its questions, and the forms of its answers."""

    published: Published
    questions: Sequence[Invented]
    row: Callable[[Invented, int], dict[str, Any]]
    forms: Mapping[str, Form] = field(default_factory=lambda: USUAL)
    unfinished: Mapping[str, Form] = field(default_factory=lambda: UNFINISHED)
    hedged: Mapping[str, Callable[[str, str], str]] = field(default_factory=lambda: HEDGED)


KINDS = {
    "choice letter": Kind(published=MMMU, questions=invented.MC_LETTER, row=_mmmu),
    "option text": Kind(
        published=MATHVISTA, questions=invented.OPTION_TEXT, row=_mathvista("text")
    ),
    "integer": Kind(published=MATHVISTA, questions=invented.INTEGER, row=_mathvista("integer")),
    "float": Kind(published=MATHVISTA, questions=invented.FLOAT, row=_mathvista("float")),
    "list": Kind(published=MATHVISTA, questions=invented.LIST, row=_mathvista("list")),
    "free-form": Kind(published=MATHVISION, questions=invented.FREE_FORM, row=_mathvision),
    **{
        f"olympiad {name.lower()}": Kind(
            published=OLYMPIADBENCH,
            questions=questions,
            row=_olympiad(kind),
            forms=SEVERAL if name == "Several" else OLYMPIAD,
        )
        for name, kind, questions in (
            ("Numerical", "Numerical", invented.NUMERICAL),
            ("Expression", "Expression", invented.EXPRESSION),
            ("Equation", "Equation", invented.EQUATION),
            ("Interval", "Interval", invented.INTERVAL),
            ("Tuple", "Tuple", invented.TUPLE),
            ("Several", "Numerical", invented.SEVERAL),
        )
    },
    "open": Kind(published=MMMU, questions=invented.OPEN, row=_mmmu),
    **{
        f"dynamath {kind}": Kind(
            published=DYNAMATH,
            questions=questions,
            row=_dynamath(kind),
            forms=JSON,
            unfinished=JSON_UNFINISHED,
            hedged=JSON_HEDGED,
        )
        for kind, questions in (
            ("float", invented.DYNA_FLOAT),
            ("multiple choice", invented.DYNA_CHOICE),
            ("text", invented.DYNA_TEXT),
        )
    },
    **{
        f"mv-math {kind}": Kind(published=MV_MATH, questions=questions, row=_mv_math(kind))
        for kind, questions in (
            ("choice", invented.MV_CHOICE),
            ("single-step", invented.MV_SINGLE),
            ("multi-step", invented.MV_PARTS),
        )
    },
}
"""Type of answer -> where it comes from."""


def cases(name: str) -> Iterator[Case]:
    """All recorded answers of one type, in a fixed order."""
    kind = KINDS[name]
    for number, one in enumerate(kind.questions, 1):
        row = kind.row(one, number)
        chinese = one.more.get("language") == "zh"
        config = f"OE_TO_maths_{'zh_CEE' if chinese else 'en_COMP'}"
        part = Part(split="train", config=config if kind.published is OLYMPIADBENCH else None)
        question = kind.published.make(row, part)
        assert question is not None
        assert question.sample.error is None, question.sample.error

        for form, response, stated, right in _answers(one, kind):
            text = (
                response.replace("So the final answer is ", "所以最终答案是")
                if chinese
                else response
            )
            yield Case(
                type=name, row={**row, "config": config}, question=question, form=form,
                response=text, stated=stated, right=right,
            )  # fmt: skip


def _answers(one: Invented, kind: Kind) -> Iterator[tuple[str, str, str, bool]]:
    """Form, response, the answer it states, and whether that is right."""
    turn = 0
    for right, answers in ((True, one.right), (False, one.wrong)):
        for answer in answers:
            for form, write in rotated(kind.forms, turn, FORMS_EACH):
                yield form, write(answer), answer, right
            turn += 1
    for form, write in kind.unfinished.items():
        yield form, write(one.right[0]), "", False
    for form, hedge in kind.hedged.items():
        yield form, hedge(one.right[0], one.wrong[0]), "", False
