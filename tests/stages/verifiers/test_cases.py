"""Every kind of answer: what is right, what is wrong, what is none, and what can't be verified.

A case is a line of a table in `cases/`: verdict, gold answer, answer, and what was asked of it. In
all tables but `responses.txt` the answer stands in a box.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.verifiers import Attempt
from stages.verifiers.pool import Judge

STATUS = {"+": "correct", "-": "incorrect", "0": "no_answer", "u": "unverifiable"}
WRONG = ("incorrect", "no_answer")


def read_cases() -> Iterator[Any]:
    for path in sorted((Path(__file__).parent / "cases").glob("*.txt")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            verdict, gold, answer, *question = (part.strip() for part in line.split("¦"))
            gold = gold.replace("␌", "\x0c").replace("␀", "\x00")
            text = answer.replace("\\n", "\n") if path.stem == "responses" else None
            yield pytest.param(
                STATUS[verdict],
                gold,
                f"Therefore \\boxed{{{answer}}}." if text is None else text,
                question[0].replace("\\n", "\n") if question else None,
                id=f"{path.stem}:{number}",
            )


CASES = list(read_cases())


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge(timeout_seconds=20, num_workers=1) as judge:
        yield judge


@pytest.mark.parametrize(("status", "gold", "text", "question"), CASES)
def test_case(status: str, gold: str, text: str, question: str | None, judge: Judge) -> None:
    attempt = Attempt(gold=gold, text=text, question=question)
    ((_, found),) = judge.judge([(0, attempt)])
    assert found.status == status, (found.extracted_answer, found.verifier)


def test_every_gold_answer_is_equal_to_itself(judge: Judge) -> None:
    golds = {
        gold: question
        for status, gold, _, question in (case.values for case in CASES)
        if status == "correct" and not gold.startswith("['") and not {"#", "\x0c"} & set(gold)
    }
    attempts = (
        (gold, Attempt(gold=gold, text=f"<answer>{gold}</answer>", question=question))
        for gold, question in golds.items()
    )
    failed = [gold for gold, found in judge.judge(attempts) if found.status != "correct"]
    assert failed == []
