"""Trust-GRPO's numbers against hand-computed cases."""

import math

import pytest

from stages.trust import (
    Group,
    annealed_advantages,
    annealed_reward,
    group_advantages,
    trust_weight,
)


def test_wrong_rollouts_that_think_better_cost_trust() -> None:
    # The paper's worked example: mu_c = 0.2 and mu_w = 0.8. exp(-0.6) is 0.549, not 0.49.
    outcome, thinking = [1.0, 1.0, 0.0, 0.0], [0.1, 0.3, 0.9, 0.7]
    assert trust_weight(outcome, thinking) == pytest.approx(0.5488116)


@pytest.mark.parametrize("thinking", [[0.8, 0.2], [0.5, 0.5]])
def test_right_rollouts_that_think_no_worse_are_trusted(thinking: list[float]) -> None:
    assert trust_weight([1.0, 0.0], thinking) == 1.0


def test_means_are_over_rollouts_that_have_both_rewards() -> None:
    outcome = [1.0, 1.0, None, 0.0, 0.4, 0.5]
    thinking = [0.2, None, 1.0, 0.6, 0.8, 0.4]
    assert trust_weight(outcome, thinking) == pytest.approx(math.exp(0.3 - 0.7))


@pytest.mark.parametrize("outcome", [[1.0, 1.0], [0.0, 0.0], [None, 1.0]])
def test_without_both_kinds_there_is_nothing_to_compare(outcome: list[float | None]) -> None:
    assert trust_weight(outcome, [0.3, 0.9]) is None


def test_the_thinking_reward_fades() -> None:
    first = annealed_reward(1.0, 0.5, 0.8, step=0, num_steps=100)
    assert first == pytest.approx(1.0 + 0.8 * 0.3 * 0.5)
    last = annealed_reward(1.0, 0.5, 0.8, step=100, num_steps=100)
    assert last == pytest.approx(1.0 + 0.8 * 0.3 * math.exp(-1) * 0.5)
    assert annealed_reward(0.0, None, 0.8, step=3, num_steps=100) == 0.0
    assert annealed_reward(0.0, 1.0, None, step=0, num_steps=9, weight=0.5) == 0.5


def test_advantages_are_standard_scores() -> None:
    rewards = [1.12, 0.0, 1.0, 0.3]
    # By hand: the mean is 0.605, the squared differences sum to 0.8803, a quarter is 0.220075.
    expected = [0.515 / 0.469122, -0.605 / 0.469122, 0.395 / 0.469122, -0.305 / 0.469122]
    assert group_advantages(rewards) == pytest.approx(expected, abs=1e-4)
    assert group_advantages([0.7, 0.7, 0.7]) == [0.0, 0.0, 0.0]


def test_advantages_of_annealed_rewards() -> None:
    # mu_c = 0.2 and mu_w = 0.8: gamma = exp(-0.6). At s = 0 with alpha = 0.5, R is
    # 1 + 0.1 gamma and 0.4 gamma, and of two the advantages are +-1.
    pair = Group(outcomes=[1.0, 0.0], thinkings=[0.2, 0.8], trust=math.exp(-0.6))
    assert annealed_advantages(pair, step=0, num_steps=10, weight=0.5) == pytest.approx([1, -1])
    # All right, so trusted in full: R = 1 + 0.3 exp(-1) R_t, and what is left is R_t's order.
    right = Group(outcomes=[1.0] * 3, thinkings=[0.0, 0.5, 1.0], trust=None)
    found = annealed_advantages(right, step=5, num_steps=5)
    assert found == pytest.approx([-math.sqrt(1.5), 0.0, math.sqrt(1.5)])
    # One that was not scored has its outcome alone.
    group = Group(outcomes=[1.0, 0.0, 0.0], thinkings=[0.2, 0.8, None], trust=math.exp(-0.6))
    faded = math.exp(-0.6) * 0.3 * math.exp(-0.5)
    rewards = [1 + faded * 0.2, faded * 0.8, 0.0]
    mean = sum(rewards) / 3
    deviation = math.sqrt(sum((reward - mean) ** 2 for reward in rewards) / 3)
    found = annealed_advantages(group, step=5, num_steps=10)
    assert found == pytest.approx([(reward - mean) / deviation for reward in rewards])


def test_the_trust_weight_moves_the_advantages_as_training_goes_on() -> None:
    # Both think the wrong way round, so R_t is trusted by exp(-0.8). With alpha = 1:
    # s = 0: R = 1 + 0.1 g, 0 + 0.9 g and 0; s = T: the same with g / e.
    trust = math.exp(-0.8)
    group = Group(outcomes=[1.0, 0.0, 0.0], thinkings=[0.1, 0.9, 0.0], trust=trust)
    for step, fade in ((0, 1.0), (4, math.exp(-1))):
        rewards = [1 + 0.1 * trust * fade, 0.9 * trust * fade, 0.0]
        expected = group_advantages(rewards)
        assert annealed_advantages(group, step=step, num_steps=4, weight=1.0) == pytest.approx(
            expected
        )
