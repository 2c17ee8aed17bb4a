"""Paired comparison of two evaluations, against cases worked out by hand."""

import pytest

from stages.comparison import Answered, compare, mcnemar, sign_flip


def answered(*means: float, num_answers: int = 1) -> dict[str, Answered]:
    return {
        f"q{number}": Answered(mean=mean, num_answers=num_answers, cluster=None)
        for number, mean in enumerate(means)
    }


def test_one_answer_each_worked_out_by_hand() -> None:
    # 5 questions go from wrong to right, 1 from right to wrong, 4 stay: differences sum up to 4.
    first = answered(0, 0, 0, 0, 0, 1, 1, 1, 0, 0)
    second = answered(1, 1, 1, 1, 1, 0, 1, 1, 0, 0)
    found = compare(first, second)
    assert found is not None
    assert (found.first, found.second) == (0.3, 0.7)
    assert found.difference == pytest.approx(0.4)
    # Variance (6 * 1 - 10 * 0.16) / 9 = 0.4889; its root over that of 10 is 0.2211.
    assert found.standard_error == pytest.approx(0.22111, abs=1e-5)
    assert found.interval == pytest.approx((-0.03337, 0.83337), abs=1e-4)
    # Exact: 2 * (C(6, 0) + C(6, 1)) / 2^6 = 14 / 64.
    assert found.test == "exact McNemar"
    assert found.p_value == pytest.approx(14 / 64)
    assert found.gained == ("q0", "q1", "q2", "q3", "q4")
    assert found.lost == ("q5",)


def test_several_answers_are_compared_by_permutation() -> None:
    # Of the 2^4 ways to choose signs of 0.25, 0.25, 0.5 and 0.5 two are as far from 0: 2 / 16.
    first = answered(0.0, 0.25, 0.25, 0.5, 1.0, num_answers=4)
    second = answered(0.25, 0.5, 0.75, 1.0, 1.0, num_answers=4)
    found = compare(first, second)
    assert found is not None
    assert found.test == "sign-flip permutation"
    assert found.p_value == pytest.approx(2 / 16)
    assert found.gained == ("q2", "q3")


def test_graded_answers_are_compared_by_permutation() -> None:
    """Of the 2^4 ways to choose signs of four times 0.4 two are as far from 0: 2 / 16."""
    found = compare(answered(0.55, 0.55, 0.55, 0.55), answered(0.95, 0.95, 0.95, 0.95))
    assert found is not None
    assert found.test == "sign-flip permutation"
    assert found.p_value == pytest.approx(2 / 16)


def test_variants_of_a_question_change_sign_together() -> None:
    assert sign_flip([1.0, 1.0, 1.0], ["a", "a", "a"]) == 1.0
    assert sign_flip([1.0, 1.0, 1.0], [None, None, None]) == pytest.approx(0.25)
    assert sign_flip([0.0, 0.0], [None, None]) == 1.0


def test_questions_of_one_evaluation_alone_are_left_out() -> None:
    found = compare(answered(1, 0), answered(1, 0, 1))
    assert found is not None
    assert (found.num_questions, found.num_left_out, found.p_value) == (2, 1, 1.0)
    assert compare({}, answered(1)) is None


def test_nothing_changed_is_no_evidence() -> None:
    assert mcnemar(0, 0) == 1.0
