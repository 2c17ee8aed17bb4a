"""Every kind of answer: what is right, what is wrong, what is none, and what can't be verified.

A case is a line of a table in `cases/`: verdict, gold answer, answer, and what was asked of it. In
all tables but `responses.txt` and `closings.txt` the answer stands in a box.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from stages.verifiers import Attempt
from stages.verifiers.pool import Judge

STATUS = {"+": "correct", "-": "incorrect", "0": "no_answer", "u": "unverifiable"}


TABLES = sorted((Path(__file__).parent / "cases").glob("*.txt"))


class Case(NamedTuple):
    """A line of a table."""

    line: int
    status: str
    gold: str
    text: str
    question: str | None


def read_cases(path: Path) -> Iterator[Case]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        verdict, gold, answer, *question = (part.strip() for part in line.split("¦"))
        gold = gold.replace("␌", "\x0c").replace("␀", "\x00")
        whole = path.stem in ("responses", "closings")
        text = answer.replace("\\n", "\n") if whole else f"Therefore \\boxed{{{answer}}}."
        asked = question[0].replace("\\n", "\n") if question else None
        yield Case(number, STATUS[verdict], gold, text, asked)


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge(timeout_seconds=20, num_workers=1) as judge:
        yield judge


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_cases(path: Path, judge: Judge) -> None:
    attempts = (
        (case, Attempt(gold=case.gold, text=case.text, question=case.question))
        for case in read_cases(path)
    )
    wrong = [
        (case, found.status, found.extracted_answer, found.verifier)
        for case, found in judge.judge(attempts)
        if found.status != case.status
    ]
    assert wrong == []


def test_every_gold_answer_is_equal_to_itself(judge: Judge) -> None:
    golds = {
        gold: question
        for path in TABLES
        for _, status, gold, _, question in read_cases(path)
        if status == "correct" and not gold.startswith("['") and not {"#", "\x0c"} & set(gold)
    }
    attempts = (
        (gold, Attempt(gold=gold, text=f"<answer>{gold}</answer>", question=question))
        for gold, question in golds.items()
    )
    failed = [gold for gold, found in judge.judge(attempts) if found.status != "correct"]
    assert failed == []
