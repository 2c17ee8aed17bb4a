"""pass@1 and its standard error against cases worked out by hand."""

import math

import pytest

from stages.eval_checkpoint import evaluation_name
from stages.scores import pass_at_1, summarize


def test_one_answer_each_is_a_proportion() -> None:
    score = pass_at_1([[1.0]] * 3 + [[0.0]] * 7)
    assert score.value == pytest.approx(0.3)
    assert score.standard_error == pytest.approx(math.sqrt(0.3 * 0.7 / 9))
    assert score.num_questions == 10


def test_several_answers_are_averaged_per_question_first() -> None:
    # Question means 1, 0.5 and 0: mean 0.5, variance ((0.5)^2 + 0 + (0.5)^2) / 2 = 0.25.
    score = pass_at_1([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0, 0.0]])
    assert score.value == pytest.approx(0.5)
    assert score.standard_error == pytest.approx(math.sqrt(0.25 / 3))


def test_unjudged_questions_are_left_out_and_counted() -> None:
    rows = [
        {"sample_id": "a", "outcome_reward": 1.0, "status": "correct", "num_tokens": 4},
        {"sample_id": "a", "outcome_reward": None, "status": "timeout", "num_tokens": 8},
        {"sample_id": "b", "outcome_reward": None, "status": "error", "num_tokens": 0},
    ]
    results = summarize(rows)
    assert (results["pass_at_1"], results["num_questions"]) == (1.0, 1)
    assert results["standard_error"] is None
    assert results["num_unjudged_questions"] == 1
    assert results["statuses"] == {"correct": 1, "error": 1, "timeout": 1}
    assert results["mean_tokens_per_answer"] == pytest.approx(6.0), "of those that were answered"


def test_nothing_judged_is_no_number() -> None:
    assert pass_at_1([[], []]).value is None


def test_models_of_the_same_name_have_folders_of_their_own() -> None:
    names = {
        evaluation_name("world", checkpoint)
        for checkpoint in ("final", "base", "one/model", "two/model")
    }
    assert len(names) == 4
    assert {"evals/world", "evals/world@base"} < names
