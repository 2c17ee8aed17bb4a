"""Standard errors against a bootstrap, and pass@k, votes and worst cases against small cases."""

import json
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from stages.scores import majority_vote, pass_at_1, pass_at_k, summarize, worst_case


def row(question: str, index: int, reward: float | None, answer: str = "", **own: Any) -> Any:
    status = {1.0: "correct", 0.0: "incorrect", None: "timeout"}[reward]
    return {
        "sample_id": question,
        "rollout_index": index,
        "outcome_reward": reward,
        "status": status,
        "num_tokens": 4,
        "extracted_answer": answer,
        **own,
    }


@pytest.mark.parametrize("variants", [1, 5])
def test_the_standard_error_is_that_of_a_bootstrap(variants: int) -> None:
    """Questions, or clusters of them, are drawn anew, and with them all their answers."""
    generator = np.random.default_rng(0)
    skill = generator.beta(0.6, 0.6, size=120)
    rewards = [
        [float(generator.random() < chance) for _ in range(4)]
        for chance in skill
        for _ in range(variants)
    ]
    clusters = [str(cluster) for cluster in range(120) for _ in range(variants)]
    score = pass_at_1(rewards, clusters if variants > 1 else None)
    means = np.array(rewards).mean(axis=1).reshape(120, variants).mean(axis=1)
    drawn = generator.integers(0, 120, size=(4000, 120))
    assert score.standard_error == pytest.approx(means[drawn].mean(axis=1).std(), rel=0.05)
    if variants > 1:
        naive = pass_at_1(rewards).standard_error
        assert naive is not None
        assert naive < 0.6 * (score.standard_error or 0.0)


def test_the_standard_error_is_the_spread_of_evaluations_done_anew() -> None:
    """Other questions and other answers to each; the answers alone would say too little."""
    generator = np.random.default_rng(1)
    values, errors = [], []
    for _ in range(600):
        skill = generator.beta(0.6, 0.6, size=80)
        score = pass_at_1((generator.random((80, 4)) < skill[:, None]).astype(float).tolist())
        values.append(score.value)
        errors.append(score.standard_error or 0.0)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.08)
    answers_alone = np.sqrt(0.25 / (80 * 4))
    assert np.mean(errors) > 1.4 * answers_alone


def test_clusters_of_different_size() -> None:
    # Mean 0.5; the deviations 1, -0.5 and -0.5 of the clusters sum up to 0: (1 + .25 + .25) * 3/2.
    score = pass_at_1([[1.0], [1.0], [0.0], [0.0]], ["a", "a", "b", "c"])
    assert score.value == 0.5
    assert score.standard_error == pytest.approx((1.5 * 1.5) ** 0.5 / 4)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_pass_at_k_is_the_share_of_draws_with_a_right_answer(k: int) -> None:
    rewards = [1.0, 0.0, 0.0, 1.0, 0.0]
    draws = list(combinations(rewards, k))
    expected = sum(any(draw) for draw in draws) / len(draws)
    assert pass_at_k([rewards], k) == pytest.approx(expected)
    assert pass_at_k([[1.0]], 2) is None


def test_majority_vote_takes_the_most_frequent_answer() -> None:
    agreed = [row("a", 0, 0.0, "3"), row("a", 1, 1.0, "$4$"), row("a", 2, 1.0, "4")]
    tied = [row("b", 1, 1.0, "4"), row("b", 0, 0.0, "3")]
    silent = [row("c", 0, 0.0), row("c", 1, 0.0)]
    assert majority_vote([agreed]) == 1.0
    assert majority_vote([tied]) == 0.0, "the one given first"
    assert majority_vote([agreed, tied, silent]) == pytest.approx(1 / 3)


def test_the_worst_case_wants_every_variant_right() -> None:
    rows = [
        [row("a/1", 0, 1.0, cluster="a"), row("a/1", 1, 1.0, cluster="a")],
        [row("a/2", 0, 1.0, cluster="a"), row("a/2", 1, 0.0, cluster="a")],
        [row("b/1", 0, 0.0, cluster="b"), row("b/1", 1, 0.0, cluster="b")],
    ]
    assert worst_case(rows).value == pytest.approx(0.25)
    rows.append([row("a/3", 0, None, cluster="a"), row("a/3", 1, None, cluster="a")])
    rows.append([row("b/2", 0, None, cluster="b"), row("b/2", 1, 1.0, cluster="b")])
    assert worst_case(rows).value == 0, "of what would all be right, not everything is known"


def test_truncated_answers_and_missing_ones_are_counted() -> None:
    rows = [
        {**row("a", 0, 0.0), "status": "truncated", "num_tokens": 16},
        {**row("a", 1, 0.0), "status": "no_answer", "num_tokens": 8},
        {**row("b", 0, 1.0), "num_tokens": 6},
    ]
    results = summarize(rows)
    assert (results["num_truncated"], results["num_no_answer"]) == (1, 1)
    assert results["mean_tokens_per_answer"] == 10.0


def test_results_have_sub_scores_and_both_figures() -> None:
    def labels(subject: str) -> str:
        return json.dumps({"subject": subject})

    rows = [
        row("a", 0, 1.0, "4", labels=labels("Physics"), verifier_reward=0.0),
        row("a", 1, 1.0, "4", labels=labels("Physics"), verifier_reward=1.0),
        row("b", 0, 0.0, "4", labels=labels("Art"), verifier_reward=0.0),
        row("b", 1, None, "", labels=labels("Art")),
    ]
    results = summarize(rows, has_variants=False)
    assert results["pass_at_1"] == 0.5
    assert results["num_unjudged"] == 1
    assert (results["by_verifier"], results["num_disagreements"]) == (0.25, 1)
    assert results["pass_at_k"] == {"2": 1.0}
    subjects = results["sub_scores"]["subject"]
    assert all(
        found.keys()
        >= {
            *("pass_at_1", "standard_error", "num_questions", "num_truncated", "num_no_answer"),
            *("num_unjudged", "mean_tokens_per_answer"),
        }
        for found in subjects.values()
    )
    assert {name: found["pass_at_1"] for name, found in subjects.items()} == {
        "Art": 0.0,
        "Physics": 1.0,
    }


def test_of_graded_answers_there_is_no_share_that_is_right() -> None:
    graded = [row("a", 0, 1.0), row("a", 1, 1.0) | {"outcome_reward": 0.9}]
    assert "pass_at_k" not in summarize(graded)
    assert summarize(graded)["pass_at_1"] == pytest.approx(0.95)
    assert summarize([row("a", 0, 1.0), row("a", 1, 0.0)])["pass_at_k"] == {"2": 1.0}
