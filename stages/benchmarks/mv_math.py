r"""MV-MATH, test: 2009 questions with two to eight images each (2502.20808).

Images are mentioned in questions and options as `<image_n>`; options stand in the question. There
are questions with options (`choice`), with one answer (`single-step`, or `free-form` as the data
set's card calls it, where `\#\#` divides answers of which each will do), and with several parts
(`multi-step`), all of which must be right.

The authors judge with an LLM; the project's verifier decides, part by part, and a model beside it
where `eval.llm_judge` is on.
"""

import re

from data.columns import Row
from stages.benchmarks import Question
from stages.benchmarks.published import Part, Published
from stages.benchmarks.rows import answer_of, final_part, judged, letters_of, make_question
from stages.verifiers import Judgement
from stages.verifiers.decide import decide
from stages.verifiers.golds import type_gold
from stages.verifiers.responses.boxes import last_box

HINT = 'Please solve the problem and put your final answer in one "\\boxed{}".'
HINT_CHOICE = 'Please solve the problem and put the letter of the option in one "\\boxed{}".'
HINT_PARTS = (
    'Please solve the problem and put the answers of all its parts in one "\\boxed{}", in the form '
    "(1) ...; (2) ..."
)
ALTERNATIVE = re.compile(r"\s*\\?#\s*\\?#\s*")
PART = re.compile(r"(?<![A-Za-z\\}])[(（]\s*(\d)\s*[)）]")
SIGNS = {"=": "=", ">": ">", "<": "<", "\\gt": ">", "\\lt": "<"}
RELEVANCE = {"1": "dependent", "0": "independent"}


def make(row: Row, part: Part) -> Question:
    """A row of the only part."""
    kind, answer = row["answer_type"], row["answer"]
    golds = [answer]
    if kind not in ("choice", "multi-step") and answer:
        golds = [found for found in ALTERNATIVE.split(answer) if found.strip(" $")] or [answer]
        golds = [_whole(gold) for gold in golds] if len(golds) > 1 else golds
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


def _whole(text: str) -> str:
    """One of several formulas that shared their dollar signs."""
    return text.strip().strip("$") if text.count("$") % 2 else text.strip()


def score(question: Question, text: str) -> Judgement | None:
    """Part by part, where there are several; signs that are to be filled in, as they are."""
    gold = (question.sample.answer or "").strip(" $")
    if question.details["kind"] == "choice":
        return _by_letter(gold, question.sample.question or "", text)
    if gold in SIGNS:
        answer = answer_of(text)
        spelt = SIGNS.get((answer or "").strip(" $"), answer)
        return judged(spelt == SIGNS[gold], answer, "mv_math")
    golds = parts_of(gold)
    if question.details["kind"] != "multi-step" or len(golds) < 2:
        return None
    answer = answer_of(text)
    answers = parts_of(answer or "") or _boxes(text, len(golds))
    if golds.keys() != answers.keys():
        return judged(False, answer, "mv_math")
    asked = question.sample.question or ""
    same = [_same(golds[n], answers[n], asked) for n in golds]
    if False not in same and None in same:
        return None
    return judged(False not in same, "; ".join(answers.values()), "mv_math")


def _by_letter(gold: str, asked: str, text: str) -> Judgement | None:
    """By letter alone where another option has the same text, so that the verifier can't tell."""
    if type_gold(gold, asked, "choice").problem is None:
        return None
    answer = answer_of(text, "choice")
    return judged(letters_of(answer or "", ()) == {gold}, answer, "mv_math")


def _same(gold: str, answer: str, asked: str) -> bool | None:
    """Whether the verifier takes an answer to one part for the gold one; None: it can't tell."""
    if type_gold(gold, asked).problem:
        return None
    return decide(gold, answer, asked, None, ()).correct


def _boxes(text: str, number: int) -> dict[str, str]:
    """The boxes of a response that has one for each part."""
    found: list[str] = []
    rest = final_part(text)
    for piece in re.split(r"(?=\\boxed)", rest)[1:]:
        box = last_box(piece)
        found += [box.content] if box and box.content else []
    return {str(n): each for n, each in enumerate(found, 1)} if len(found) == number else {}


def parts_of(text: str) -> dict[str, str]:
    """`（1）12；（2）30.` as number -> answer; a number in brackets that is not next is no part."""
    found: dict[str, str] = {}
    start = None
    for match in PART.finditer(text):
        if int(match[1]) == len(found) + (2 if start is not None else 1):
            if start is not None:
                found[str(len(found) + 1)] = text[start : match.start()]
            start = match.end()
    if start is not None:
        found[str(len(found) + 1)] = text[start:]
    return {number: answer.strip(" ;；,，.。\n") for number, answer in found.items()}


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
