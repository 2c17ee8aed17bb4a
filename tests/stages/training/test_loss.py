import math

import pytest
import torch

from stages.training.loss import (
    OBJECTIVES,
    ResponseTokens,
    RolloutTokens,
    denominator,
    grpo,
    k3,
    sft,
    sophia,
    token_weight,
)


def tokens(reward: list[float]) -> ResponseTokens:
    """Three tokens of probability 1/2, 1/4 and 1/8."""
    return ResponseTokens(
        logprob_T=torch.tensor([0.5, 0.25, 0.125]).log(), reward_T=torch.tensor(reward)
    )


def test_sophia_weighs_each_token_by_the_reward_of_its_rollout() -> None:
    # Two rollouts, R = 1 with tokens 1/2 and 1/4, and R = 0.5 with the token 1/8:
    # -(1 * (log 1/2 + log 1/4) + 0.5 * log 1/8) = (1 + 2 + 1.5) log 2
    loss = sophia(tokens([1.0, 1.0, 0.5])).sum()
    assert loss.item() == pytest.approx(4.5 * math.log(2), abs=1e-6)


def test_sft_ignores_rewards() -> None:
    loss = sft(tokens([1.0, 0.0, 0.5])).sum() / 3
    assert loss.item() == pytest.approx(2 * math.log(2), abs=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_objectives_give_one_loss_per_token(objective: str) -> None:
    assert OBJECTIVES[objective](tokens([1.0, 1.0, 1.0])).shape == (3,)


def test_denominators() -> None:
    assert denominator("token", num_tokens=30, num_trajectories=4) == 30
    assert denominator("trajectory", num_tokens=30, num_trajectories=4) == 4
    assert denominator("trajectory-mean", num_tokens=30, num_trajectories=4) == 4


def test_a_trajectorys_mean_is_a_sum_of_weighted_tokens() -> None:
    # Rows of 2 and 3 tokens: (1 + 2) / 2 and (3 + 4 + 5) / 3, and then the mean of both.
    weights = [token_weight("trajectory-mean", 2)] * 2 + [token_weight("trajectory-mean", 3)] * 3
    losses = [1.0, 2.0, 3.0, 4.0, 5.0]
    summed = sum(loss * weight for loss, weight in zip(losses, weights, strict=True))
    assert summed / denominator("trajectory-mean", 5, 2) == pytest.approx((1.5 + 4) / 2)
    assert token_weight("token", 3) == token_weight("trajectory", 3) == 1


def rollout_tokens(
    ratio: list[float], advantage: list[float], reference: list[float] | None = None
) -> RolloutTokens:
    """Tokens of probability 1/2 under the behaviour policy."""
    behavior = torch.full((len(ratio),), 0.5).log()
    return RolloutTokens(
        logprob_T=(behavior + torch.tensor(ratio).log()).requires_grad_(),
        behavior_logprob_T=behavior,
        advantage_T=torch.tensor(advantage),
        reference_logprob_T=None if reference is None else torch.tensor(reference).log(),
    )


def test_grpo_by_hand() -> None:
    # r = 1, 1.5, 0.5 with A = 2, and r = 1.5, 0.5 with A = -2; clipped to 0.8 ... 1.2:
    # -min(2, 2), -min(3, 2.4), -min(1, 1.6), -min(-3, -2.4), -min(-1, -1.6)
    tokens = rollout_tokens([1.0, 1.5, 0.5, 1.5, 0.5], [2.0, 2.0, 2.0, -2.0, -2.0])
    loss = grpo(tokens, clip=0.2)
    assert loss.tolist() == pytest.approx([-2.0, -2.4, -1.0, 3.0, 1.6], abs=1e-6)
    loss.sum().backward()
    # d(-r A) / d log pi = -r A where it is not clipped.
    assert tokens.logprob_T.grad is not None
    expected = [-2.0, 0.0, -1.0, 3.0, 0.0]
    assert tokens.logprob_T.grad.tolist() == pytest.approx(expected, abs=1e-6)


def test_on_policy_grpo_has_the_gradient_of_the_plain_policy_gradient() -> None:
    tokens = rollout_tokens([1.0, 1.0], [0.7, -1.3])
    grpo(tokens).sum().backward()
    assert tokens.logprob_T.grad is not None
    assert tokens.logprob_T.grad.tolist() == pytest.approx([-0.7, 1.3], abs=1e-6)


def test_k3_by_hand() -> None:
    # pi = 1/2: pi_ref = 1/2 gives 1 - 0 - 1; 1/4 gives 1/2 + log 2 - 1; 1 gives 2 - log 2 - 1.
    reference = torch.tensor([0.5, 0.25, 1.0]).log()
    found = k3(torch.full((3,), 0.5).log(), reference)
    expected = [0.0, math.log(2) - 0.5, 1 - math.log(2)]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    tokens = rollout_tokens([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.5, 0.25, 1.0])
    with_kl = grpo(tokens, kl_weight=0.1)
    assert with_kl.tolist() == pytest.approx([-1 + 0.1 * each for each in expected], abs=1e-6)
    assert grpo(tokens).tolist() == pytest.approx([-1.0] * 3), "beta is 0"
