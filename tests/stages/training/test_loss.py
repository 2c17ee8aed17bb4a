import math

import pytest
import torch

from stages.training.loss import OBJECTIVES, ResponseTokens, denominator, summed_loss


def tokens(reward: list[float]) -> ResponseTokens:
    """Three tokens of probability 1/2, 1/4 and 1/8."""
    return ResponseTokens(
        logprob_T=torch.tensor([0.5, 0.25, 0.125]).log(), reward_T=torch.tensor(reward)
    )


def test_sophia_weighs_each_token_by_the_reward_of_its_rollout() -> None:
    # Two rollouts, R = 1 with tokens 1/2 and 1/4, and R = 0.5 with the token 1/8:
    # -(1 * (log 1/2 + log 1/4) + 0.5 * log 1/8) = (1 + 2 + 1.5) log 2
    loss = summed_loss("sophia", tokens([1.0, 1.0, 0.5]), 1)
    assert loss.item() == pytest.approx(4.5 * math.log(2), abs=1e-6)


def test_sft_ignores_rewards() -> None:
    loss = summed_loss("sft", tokens([1.0, 0.0, 0.5]), 3)
    assert loss.item() == pytest.approx(2 * math.log(2), abs=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_objectives_give_one_loss_per_token(objective: str) -> None:
    assert OBJECTIVES[objective](tokens([1.0, 1.0, 1.0])).shape == (3,)


def test_denominators() -> None:
    assert denominator("token", num_tokens=30, num_trajectories=4) == 30
    assert denominator("trajectory", num_tokens=30, num_trajectories=4) == 4
