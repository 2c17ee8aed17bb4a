"""Trust-GRPO's rewards and advantages (SophiaVL-R1, arXiv 2505.17018), as pure functions.

A group is the rollouts of one question. The thinking reward R_t counts as far as it agrees with the
outcome reward R_o over the group, and less and less as training goes on.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

RIGHT = 0.5
"""A rollout counts as right from this outcome reward on."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """An on-policy question's rollouts, as far as they are rewarded."""

    outcomes: Sequence[float]
    """R_o of each."""
    thinkings: Sequence[float | None]
    """R_t of each; None: not scored."""
    trust: float | None
    """Gamma; None: nothing to compare."""


def trust_weight(
    outcome_rewards: Sequence[float | None], thinking_rewards: Sequence[float | None]
) -> float | None:
    """Gamma of a group: 1 where right rollouts think no worse than wrong ones, else less.

    With mu_c and mu_w the mean R_t over the right and the wrong rollouts that have both rewards:
    1 if mu_c >= mu_w, else exp(mu_c - mu_w).

    Returns:
        gamma, in (0, 1]; None where there is no right or no wrong rollout to compare.
    """
    right: list[float] = []
    wrong: list[float] = []
    for outcome, thinking in zip(outcome_rewards, thinking_rewards, strict=True):
        if outcome is not None and thinking is not None:
            (right if outcome >= RIGHT else wrong).append(thinking)
    if not right or not wrong:
        return None
    difference = statistics.fmean(right) - statistics.fmean(wrong)
    return 1.0 if difference >= 0 else math.exp(difference)


def annealed_reward(
    outcome: float,
    thinking: float | None,
    trust: float | None,
    *,
    step: int,
    num_steps: int,
    weight: float = 0.3,
) -> float:
    """R = R_o + gamma * alpha * exp(-s / T) * R_t at training step s of T.

    Args:
        outcome: R_o.
        thinking: R_t; None: not scored, which adds nothing.
        trust: gamma; None: nothing to compare, and R_t is trusted in full.
        step: s, from 0.
        num_steps: T.
        weight: alpha; 0.3 in the authors' code.
    """
    if thinking is None:
        return outcome
    gamma = 1.0 if trust is None else trust
    return outcome + gamma * weight * math.exp(-step / num_steps) * thinking


def annealed_advantages(
    group: Group, *, step: int, num_steps: int, weight: float = 0.3
) -> list[float]:
    """Trust-GRPO's advantages of a group at training step s of T; the loss is GRPO's.

    They are those of the annealed rewards, so because of s they can't be made before training, as
    GRPO's can. Arguments as in `annealed_reward`.
    """
    return group_advantages(
        [
            annealed_reward(
                outcome, thinking, group.trust, step=step, num_steps=num_steps, weight=weight
            )
            for outcome, thinking in zip(group.outcomes, group.thinkings, strict=True)
        ]
    )


def group_advantages(rewards: Sequence[float]) -> list[float]:
    """(R - mean) / standard deviation over a group of G, with the population's 1 / G.

    A group whose rewards are all the same has nothing to say: all zeros.
    """
    if min(rewards) == max(rewards):
        return [0.0] * len(rewards)
    mean, deviation = statistics.fmean(rewards), statistics.pstdev(rewards)
    return [(reward - mean) / deviation for reward in rewards]
