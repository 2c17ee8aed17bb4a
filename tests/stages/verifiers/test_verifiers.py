"""Answers into verdicts."""

import time

import pytest

from stages.verifiers import Attempt, Judgement, judge_by_rule
from stages.verifiers.extract import extract_answer
from stages.verifiers.pool import Judge

OPTIONS = ("12 cm", "15 cm", "18 cm", "None of these")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So it is \boxed{42}.", "42"),
        (r"First \boxed{1}, no: \boxed{2}", "2"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        ("<think>it is \\boxed{3}</think> nothing more", None),
        ("<think>it is \\boxed{3}", None),
        ("thinking \\boxed{3}</think>\n\nThe answer is 4.", "4"),
        ("**Final answer**\n\n\\boxed{7}", "7"),
        ("**Final Answer:** 12", "12"),
        ("所以最终答案是：15", "15"),
        ("I can't say.", None),
        (r"\boxed{}", None),
        (r"\boxed{unclosed", None),
    ],
)
def test_extracts_the_final_answer(text: str, answer: str | None) -> None:
    assert extract_answer(text) == answer


def attempt(gold: str | None, answer: str, **rest: object) -> Attempt:
    return Attempt(gold=gold, text=f"so \\boxed{{{answer}}}", **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("gold", "answer", "status"),
    [
        ("3", "3", "correct"),
        ("3", "4", "incorrect"),
        ("3", "3.0", "correct"),
        ("1/2", "0.5", "correct"),
        ("1,234", "1234", "correct"),
        (r"\frac{1}{2}", "0.5", "correct"),
        (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}", "correct"),
        ("x^2+2x+1", "(x+1)^2", "correct"),
        ("x^2+2x+1", "(x+2)^2", "incorrect"),
        ("Paris", r"\text{Paris}", "correct"),
        (None, "3", "unverifiable"),
        (" ", "3", "unverifiable"),
    ],
)
def test_statuses(gold: str | None, answer: str, status: str, judge: Judge) -> None:
    ((_, found),) = judge.judge([(0, attempt(gold, answer))])
    assert found.status == status
    expected = {"correct": 1.0, "incorrect": 0.0}.get(status)
    assert found.outcome_reward == expected


@pytest.fixture(scope="module")
def judge():  # type: ignore[no-untyped-def]
    with Judge(timeout_seconds=20, num_workers=1) as judge:
        yield judge


@pytest.mark.parametrize(
    ("gold", "answer", "status"),
    [
        ("B", "B", "correct"),
        ("B", "(B)", "correct"),
        ("B", "B. 15 cm", "correct"),
        ("B", r"\text{B}", "correct"),
        ("B", "15 cm", "correct"),
        ("B", "C", "incorrect"),
        ("B", "18 cm", "incorrect"),
        ("B", "Z", "incorrect"),
        ("15 cm", "B", "correct"),
        ("15 cm", "C", "incorrect"),
    ],
)
def test_choice_by_letter_and_by_text(gold: str, answer: str, status: str) -> None:
    found = judge_by_rule(attempt(gold, answer, choices=OPTIONS, answer_type="choice"))
    assert isinstance(found, Judgement) and found.status == status


def test_unfinished_and_failed_attempts_are_told_apart() -> None:
    truncated = judge_by_rule(attempt("3", "3", finish_reason="length"))
    assert isinstance(truncated, Judgement)
    assert (truncated.status, truncated.outcome_reward) == ("truncated", 0.0)
    failed = judge_by_rule(Attempt(gold="3", text=None, finish_reason="error", error="image: no"))
    assert isinstance(failed, Judgement)
    assert (failed.status, failed.outcome_reward) == ("error", None)
    silent = judge_by_rule(Attempt(gold="3", text="hm"))
    assert isinstance(silent, Judgement)
    assert (silent.status, silent.outcome_reward) == ("no_answer", 0.0)


def test_hanging_comparison_is_a_timeout_and_harms_nobody() -> None:
    attempts = [
        ("bomb", attempt("5", r"9^{9^{9^{9^9}}}")),
        ("fine", attempt("x+1", "1+x")),
        ("again", attempt("x+2", "2+x")),
    ]
    started = time.monotonic()
    with Judge(timeout_seconds=6, num_workers=1) as judge:
        found = dict(judge.judge(attempts))
    assert found["bomb"].status in ("timeout", "error") and found["bomb"].outcome_reward is None
    assert found["fine"].status == found["again"].status == "correct"
    assert time.monotonic() - started < 60


def test_model_text_is_never_executed(tmp_path, judge: Judge) -> None:  # type: ignore[no-untyped-def]
    target = tmp_path / "made"
    payload = f"__import__('os').mkdir('{target}')"
    list(judge.judge([(0, attempt("3", payload)), (1, attempt(payload, "3"))]))
    assert not target.exists()
