r"""MV-MATH, test: 2009 questions with two to eight images each (2502.20808).

Images are mentioned in questions and options as `<image_n>`; options stand in the question. There
are questions with options (`choice`), with one answer (`single-step`, where `\#\#` divides answers
of which each will do), and with several parts (`multi-step`), all of which must be right.

The authors judge with an LLM; the project's verifier decides, part by part, and a model beside it
where `eval.llm_judge` is on.
"""

import re

from data.columns import Row
from stages.benchmarks import Question
from stages.benchmarks.published import Part, Published
from stages.benchmarks.rows import answer_of, judged, make_question, number_of
from stages.verifiers import Judgement
from stages.verifiers.text import normalize

HINT = 'Please solve the problem and put your final answer in one "\\boxed{}".'
HINT_CHOICE = 'Please solve the problem and put the letter of the option in one "\\boxed{}".'
HINT_PARTS = (
    'Please solve the problem and put the answers of all its parts in one "\\boxed{}", in the form '
    "(1) ...; (2) ..."
)
ALTERNATIVE = re.compile(r"\\?#\\?#")
PART = re.compile(r"[(（]\s*(\d)\s*[)）]")
RELEVANCE = {"1": "dependent", "0": "independent"}


def make(row: Row, part: Part) -> Question:
    """A row of the only part."""
    kind, answer = row["answer_type"], row["answer"]
    golds = [answer]
    if kind == "single-step" and answer:
        golds = [found.strip() for found in ALTERNATIVE.split(answer) if found.strip()] or [answer]
    return make_question(
        str(row["problem_id"]),
        row["question"],
        golds[0],
        dict(enumerate(row["input_image"] or [{}], 1)),
        hint={"choice": HINT_CHOICE, "multi-step": HINT_PARTS}.get(kind, HINT),
        answer_type="choice" if kind == "choice" else None,
        alternatives=tuple(golds[1:]),
        details={"kind": kind},
        labels={
            "type": kind,
            **{name: row[name] for name in ("subject", "difficulty", "grade")},
            "images": RELEVANCE.get(str(row["image_relavance"]), "unknown"),
        },
    )


def score(question: Question, text: str) -> Judgement | None:
    """Part by part, where there are several."""
    if question.details["kind"] != "multi-step":
        return None
    answer = answer_of(text)
    golds, answers = parts_of(question.sample.answer or ""), parts_of(answer or "")
    if len(golds) < 2:
        return None
    same = golds.keys() == answers.keys() and all(_same(golds[n], answers[n]) for n in golds)
    return judged(same, answer, "mv_math")


def parts_of(text: str) -> dict[str, str]:
    """`（1）12；（2）30.` as number -> answer."""
    _, *found = PART.split(text)
    return {
        number: answer.strip(" ;；,，.。\n")
        for number, answer in zip(found[::2], found[1::2], strict=True)
    }


def _same(gold: str, answer: str) -> bool:
    value, other = number_of(gold), number_of(answer)
    if value is not None and other is not None and not re.search(r"[\\/^]", gold + answer):
        return value == other
    return normalize(gold) == normalize(answer)


PUBLISHED = Published(
    name="mv_math",
    repo="PeijieWang/MV-MATH",
    # The hub shows every question three times, for the set holds it in several files.
    parts=(Part(split="test", file="MV-MATH.json"),),
    columns=(
        *("problem_id", "question", "input_image", "answer", "answer_type", "difficulty"),
        *("grade", "subject", "image_relavance"),
    ),
    make=make,
    is_llm_judged=True,
    score=score,
)
load = PUBLISHED.load
