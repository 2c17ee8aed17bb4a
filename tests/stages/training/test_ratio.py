"""Figures of pi_theta / mu against cases worked out by hand."""

import json
import math

import pytest

from stages.training.ratio import (
    delta,
    describe_ratio,
    effective_sample_size,
    explain,
    importance_weight,
    quantiles,
)


def test_weights_are_ratios_up_to_the_cap() -> None:
    assert importance_weight(math.log(0.25), 2.0) == pytest.approx(0.25)
    assert importance_weight(math.log(3), 2.0) == 2.0
    assert importance_weight(1e6, 2.0) == 2.0
    assert importance_weight(-1e6, 2.0) == 0.0


def test_effective_sample_size() -> None:
    # (1 + 1 + 2)^2 / (1 + 1 + 4) = 16 / 6, whatever the weights are scaled by.
    weights = [0.0, 0.0, math.log(2)]
    assert effective_sample_size(weights) == pytest.approx(16 / 6)
    assert effective_sample_size([weight - 5000 for weight in weights]) == pytest.approx(16 / 6)
    assert effective_sample_size([3.0] * 7) == pytest.approx(7)
    assert effective_sample_size([0.0, 900.0]) == pytest.approx(1)


def test_delta_is_the_largest_deviation_from_one() -> None:
    assert delta([math.log(0.25), math.log(1.5)]) == pytest.approx(0.75)
    assert delta([math.log(0.25), math.log(3)]) == pytest.approx(2)
    assert json.loads(json.dumps(delta([1e6]))) > 1e300, "a number that JSON can say"


def test_quantiles() -> None:
    found = quantiles([4.0, 0.0, 1.0, 3.0, 2.0])
    assert found == pytest.approx(
        {"min": 0, "p05": 0.2, "p25": 1, "median": 2, "p75": 3, "p95": 3.8, "max": 4}
    )


def test_a_distribution() -> None:
    # Log ratios 2, -3 and 0 over 4, 2 and 5 tokens: 0.5, -1.5 and 0 per token.
    found = describe_ratio([2.0, -3.0, 0.0], [4, 2, 5], [False, False, False])
    assert found["num_rows"] == 3
    assert found["written_by"] == "reasoner"
    assert found["log_ratio_per_sequence"]["median"] == 0
    assert found["log_ratio_per_token"]["min"] == -1.5
    assert found["log_ratio_per_token"]["max"] == 0.5
    weights = [math.exp(2), math.exp(-3), 1]
    expected = sum(weights) ** 2 / sum(weight**2 for weight in weights)
    assert found["effective_sample_size"] == pytest.approx(expected)
    assert found["delta"] == pytest.approx(math.exp(2) - 1)
    assert found["delta_per_token"] == pytest.approx(1 - math.exp(-1.5))


@pytest.mark.parametrize(
    ("is_own", "log_ratio", "author", "is_odd"),
    [
        ([True, True], 0.3, "policy", False),
        ([True, True], -9.0, "policy", True),
        ([True, False], -9.0, "both", False),
        ([False, False], -9.0, "reasoner", False),
    ],
)
def test_it_says_what_the_ratio_means_and_what_is_odd(
    is_own: list[bool], log_ratio: float, author: str, is_odd: bool
) -> None:
    before = describe_ratio([log_ratio] * 2, [10, 10], is_own)
    explained = explain({"before": before, "after": before})
    assert explained["before"]["written_by"] == author
    assert ("reasoner" in explained["meaning"]) == (not all(is_own))
    assert ("warning" in explained) == is_odd
