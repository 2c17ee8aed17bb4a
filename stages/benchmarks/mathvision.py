r"""MathVision, test: 3040 questions of competitions, 1532 with five options (2402.14804).

A question has one image, whatever numbers its text and options mention it by. Options that are but
their letters, or pictures, stand in the image, and so does a question without a word. Scored by the
project's verifier, which takes an option by letter or by value; numbers that agree to two decimals
are the same, as for the authors.
"""

import re

from data.columns import Row
from stages.benchmarks import Question
from stages.benchmarks.published import Part, Published
from stages.benchmarks.rows import (
    MENTION,
    answer_of,
    judged,
    letters_of,
    listed,
    make_question,
    number_of,
    quantity_of,
    required_image,
)
from stages.verifiers import Judgement

HINT = (
    'Please solve the problem step by step and put your answer in one "\\boxed{}". If it is a '
    'multiple choice question, only one letter is allowed in the "\\boxed{}".'
)
DECIMALS = 2
BOXED = re.compile(r"\$?\\boxed\{(.*)\}\$?", re.DOTALL)


def make(row: Row, part: Part) -> Question:
    """A row of the only part."""
    options = tuple(MENTION.sub("", option).strip() for option in row["options"] or ())
    are_shown = all(option.strip("() .") in ("", chr(65 + i)) for i, option in enumerate(options))
    answer = clean_gold(row["answer"])
    question = MENTION.sub("", row["question"] or "").strip()
    shown = () if are_shown else options
    asked = "\n".join(filter(None, (question, listed(shown))))
    if not asked and row["question"]:
        asked = HINT
    return make_question(
        str(row["id"]),
        asked if row["question"] else None,
        answer,
        required_image(row["decoded_image"]),
        hint=None if asked == HINT else HINT,
        text=question,
        options=shown,
        answer_type="choice" if options or answer == "C" else None,
        labels={
            "level": str(row["level"]),
            "subject": row["subject"],
            "type": "multiple-choice" if options else "free-form",
        },
    )


def clean_gold(answer: str | None) -> str | None:
    r"""A gold answer without what went wrong when it was published.

    That is a form feed in the place of the `\f` of `\frac`, a unit in braces, and a box.
    """
    if answer is None:
        return None
    text = answer.replace("\f", "\\f").replace("{degrees}", "").strip()
    boxed = BOXED.fullmatch(text)
    return boxed[1] if boxed else text


def score(question: Question, text: str) -> Judgement | None:
    """The authors' two decimals, where the gold answer is a number and the answer comes to one."""
    sample = question.sample
    if sample.answer_type == "choice":
        return _score_option(question, text)
    gold, answer = quantity_of(sample.answer), answer_of(text, "number")
    if gold is None or answer is None:
        return None
    value = number_of(answer)
    if value is None:
        return None
    same = round(value, DECIMALS) == round(gold.value, DECIMALS)
    return judged(same, answer, "mathvision")


def _score_option(question: Question, text: str) -> Judgement | None:
    """No answer and several letters are wrong; the rest is the verifier's."""
    answer = answer_of(text, "choice")
    if answer is None or len(letters_of(answer, question.options)) > 1:
        return judged(False, answer, "mathvision")
    return None


PUBLISHED = Published(
    name="mathvision",
    repo="MathLLMs/MathVision",
    parts=(Part(split="test"),),
    columns=("id", "question", "options", "decoded_image", "answer", "level", "subject"),
    make=make,
    score=score,
)
load = PUBLISHED.load
