"""Answers into verdicts."""

import time
from concurrent.futures import Future

import pytest

from data.errors import EngineError
from stages.verifiers import Attempt, Judgement, judge_by_rule, pool, selftest
from stages.verifiers.pool import Judge
from stages.verifiers.responses.extract import extract_answer

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


@pytest.mark.parametrize("gold", "ABCDE")
def test_a_letter_is_no_other_letter(gold: str) -> None:
    for answer in "ABCDE":
        for question in ("", "Which is shown in the picture?"):
            found = judge_by_rule(attempt(gold, answer, question=question))
            assert isinstance(found, Judgement)
            assert (found.status == "correct") == (gold == answer), answer


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


def test_a_gold_answer_that_cannot_be_verified_is_no_matter_of_length() -> None:
    for gold in ("\x00", "['4', '7']"):
        found = judge_by_rule(attempt(gold, "3", finish_reason="length"))
        assert isinstance(found, Judgement)
        assert (found.status, found.outcome_reward) == ("unverifiable", None)


SERIES = r"\sum_{k=1}^{n} k"
PADDED = r"\frac{n(n+1)}{2}" + "+0" * 400


@pytest.mark.parametrize(
    ("gold", "answer", "status"),
    [
        (SERIES, PADDED, "timeout"),
        (PADDED, SERIES, "timeout"),
        (SERIES, r"\sum_{k=1}^{n} k^{99999}", "timeout"),
        ("1", "9^{9^{9^9}}", "incorrect"),
        ("5", r"\prod_{k=1}^{10^{8}} k", "incorrect"),
        ("7", r"\frac{5^{(5^{(5^{(5^5)})} - 4)} - 5}{16}", "incorrect"),
        ("0.5", r"\frac{1}{10^{10^{9}}}", "incorrect"),
    ],
)
def test_what_is_too_hard_is_wrong_only_for_a_number(gold: str, answer: str, status: str) -> None:
    found = judge_by_rule(attempt(gold, answer))
    assert isinstance(found, Judgement) and found.status == status
    assert found.outcome_reward == {"timeout": None, "incorrect": 0.0}[status]


SUM, SLOW = r"\sum_{k=1}^{4} k", r"\int_0^1 x^x \sin(\cos(x^x)) dx"
"""A gold answer and an answer for the symbolic engine; the second takes it for ever."""


def test_hanging_comparison_is_a_timeout_and_harms_nobody() -> None:
    with Judge(timeout_seconds=4, num_workers=1) as judge:
        list(judge.judge([(0, attempt(SUM, r"\sum_{k=1}^{2} k"))]))  # the worker has started
        started = time.monotonic()
        attempts = [
            ("bomb", attempt(SUM, SLOW)),
            ("fine", attempt(SUM, r"\sum_{k=2}^{4} k + 1")),
            ("wrong", attempt(SUM, r"\sum_{k=2}^{5} k")),
        ]
        found = dict(judge.judge(attempts))
        seconds = time.monotonic() - started
    assert found["bomb"].status == "timeout" and found["bomb"].outcome_reward is None
    assert (found["fine"].status, found["wrong"].status) == ("correct", "incorrect")
    assert seconds < 4 + 1, "two tries share the deadline, and the others take no time"


def test_an_answer_takes_no_longer_than_the_deadline_and_a_second() -> None:
    with Judge(timeout_seconds=4, num_workers=1) as judge:
        list(judge.judge([(0, attempt(SUM, r"\sum_{k=1}^{2} k"))]))  # the worker has started
        for number in range(2):
            bomb = rf"\int_0^1 x^x \sin(\cos(x^{{x+{number}}})) dx"
            started = time.monotonic()
            ((_, found),) = judge.judge([(0, attempt(SUM, bomb))])
            assert found.status == "timeout"
            assert time.monotonic() - started < 4 + 1


@pytest.mark.parametrize(
    "unit",
    [
        *["$", " ", "\n", "$$", "1", "(1) 2 ", "\\[", "x=", "a, ", "either ", "twenty-", "two "],
        *[
            "(1, 2) or ",
            "(\\ab",
            "1, ..., ",
            "A (red), ",
            "**k = 5.** ",
            "- a = 7\n",
            "quadrants i and ",
        ],
        *["<answer> ", "2 dozen ", "1 h 2 min ", "\\begin{vmatrix}1&", "1 or ", "x is at least "],
    ],
)
@pytest.mark.parametrize("wrapped", ["{}", "\\boxed{{{}}}", "The answer is {} 5.", "So {}x!"])
def test_no_repetition_keeps_the_rules_busy(unit: str, wrapped: str) -> None:
    for size in (1_900, 20_000):
        text = wrapped.format(unit * (size // len(unit)))
        for gold in ("5", "[0,1)", "1, 2", "Evelyn"):
            started = time.perf_counter()
            judge_by_rule(Attempt(gold=gold, text=text, question="Which line is steeper?"))
            assert time.perf_counter() - started < 5, "it takes a tenth of that on an idle core"


@pytest.mark.parametrize("gold", ["5", "x>3", "yes", "(1) 8; (2) 15", "a red car"])
def test_tags_in_tags_are_one_tag(gold: str) -> None:
    depth = 3_000
    for opening, closing in (("<answer>", "</answer>"), ("<answer>\n", "</answer>\n")):
        started = time.perf_counter()
        text = opening * depth + gold + closing * depth
        found = judge_by_rule(Attempt(gold=gold, text=text))
        assert isinstance(found, Judgement) and found.status == "correct"
        left_open = judge_by_rule(Attempt(gold=gold, text=opening * depth))
        assert isinstance(left_open, Judgement) and left_open.status == "no_answer"
        assert time.perf_counter() - started < 5


def test_a_timeout_is_tried_once_more_alone() -> None:
    tried: list[tuple[str, str]] = []

    class Counting(Judge):
        def _try(self, gold: str, answer: str, share: float) -> "Future[bool | None]":
            tried.append((gold, answer))
            future: Future[bool | None] = Future()
            if len(tried) == 1:
                future.set_exception(TimeoutError())
            else:
                future.set_result(True)
            return future

    with Counting() as judge:
        again = [(index, attempt(SUM, r"\sum_{k=2}^{4} k")) for index in range(3)]
        statuses = [found.status for _, found in judge.judge(again)]
    assert statuses == ["correct"] * 3 and len(tried) == 2


def test_a_verifier_with_a_dead_branch_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "RULES", (*selftest.RULES, ("1", "2", "", True)))
    with pytest.raises(EngineError, match="self-test"), Judge():
        pass


def test_an_engine_with_a_dead_branch_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "SYMBOLIC", ((r"\sum_{k=1}^{2} k", "4", True),))
    with (
        Judge(timeout_seconds=40, num_workers=1) as judge,
        pytest.raises(EngineError, match="came"),
    ):
        list(judge.judge([(0, attempt(SUM, r"\sum_{k=2}^{4} k"))]))


BOMBS = (
    r"9^{9^{9^{9^9}}}",
    r"10^{10^{10^{10}}} + 1",
    "1000000000!",
    r"\binom{10^{9}}{10^{8}}",
    r"\prod_{k=1}^{10^{9}} k",
    r"\sum_{k=1}^{99999999} k^k",
    r"\frac{1}{2^{10^{12}}}",
    "(" * 3000 + "1" + ")" * 3000,
    "{" * 5000,
    r"\sqrt{" * 300 + "2" + "}" * 300,
    "+".join(f"x_{{{index}}}" for index in range(1500)),
    "9" * 100_000,
    "1" + "!" * 400,
    r"\frac{" * 200,
    "\\left" * 2000,
    "a, " * 3000,
    "-" * 5000 + "1",
    "^".join("2" * 60),
    "x" + "'" * 5000,
    "\\pm 1 " * 200,
    r"\int_0^{" * 40,
)


@pytest.mark.parametrize("gold", ["5", "x^2+1", r"\{1, 2\}", "red", "[0,1)"])
def test_bombs_are_over_at_once(gold: str) -> None:
    with Judge(timeout_seconds=3, num_workers=1) as judge:
        list(judge.judge([(0, attempt(SUM, r"\sum_{k=1}^{2} k"))]))  # the worker has started
        for bomb in BOMBS:
            started = time.monotonic()
            ((_, found),) = judge.judge([(0, attempt(gold, bomb))])
            assert found.status in ("incorrect", "no_answer", "timeout"), bomb[:40]
            assert time.monotonic() - started < 3 + 1, bomb[:40]


def test_a_gold_bomb_is_equal_to_itself_only(judge: Judge) -> None:
    tower = "7^{7^{7^{7^7}}}"
    pairs = [(tower, tower), (tower, "7^{7}"), ("7^{7}", tower)]
    found = [found.status for _, found in judge.judge(enumerate(attempt(*pair) for pair in pairs))]
    assert found == ["correct", "incorrect", "incorrect"]


@pytest.mark.parametrize(
    ("gold", "choices"),
    [
        ("", ()),
        ("\x00\x01", ()),
        ("['4', '7']", ()),
        ("B", ("3", "4", "4")),
        ("4", ("3", "4", "4")),
    ],
)
def test_gold_answers_that_cannot_be_verified(gold: str, choices: tuple[str, ...]) -> None:
    found = judge_by_rule(Attempt(gold=gold, choices=choices, text=r"\boxed{4}"))
    assert isinstance(found, Judgement)
    assert (found.status, found.outcome_reward) == ("unverifiable", None)


def test_model_text_is_never_executed(tmp_path, judge: Judge) -> None:  # type: ignore[no-untyped-def]
    target = tmp_path / "made"
    payload = f"__import__('os').mkdir('{target}')"
    list(judge.judge([(0, attempt("3", payload)), (1, attempt(payload, "3"))]))
    assert not target.exists()


@pytest.mark.parametrize(
    ("gold", "answer", "status"),
    [
        ("8" * 3000, "8" * 3000, "correct"),
        ("8" * 3000, "8" * 2999 + "9", "incorrect"),
        ("8" * 3000, "8" * 3001, "incorrect"),
        ("6", "6." + "0" * 7000, "correct"),
        ("6", "0" * 7000 + "6", "correct"),
        ("6", "6." + "0" * 7000 + "1", "incorrect"),
        ("6", "6" + "0" * 7000, "incorrect"),
        ("8" * 3000 + "x", "8" * 3000 + "x", "unverifiable"),
    ],
)
def test_numbers_of_thousands_of_digits_are_compared_by_them(
    gold: str, answer: str, status: str
) -> None:
    found = judge_by_rule(attempt(gold, answer))
    assert isinstance(found, Judgement)
    assert found.status == status
