r"""Objectives: pure functions from the log-probabilities of response tokens to a loss per token.

A step's loss is the sum over all its response tokens, of all micro-batches and ranks, divided by a
denominator that is known before the first forward pass; so its gradient does not depend on how the
step is split.

T: response tokens of a micro-batch, of all its rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ResponseTokens:
    """The response tokens of a micro-batch."""

    logprob_T: Tensor
    """log pi_theta(y_l | y_<l, x, v), float32, at temperature 1; the only part with a gradient."""
    reward_T: Tensor
    """R of the token's trajectory, float32; 1 for mixed-in rows."""


def sophia(tokens: ResponseTokens) -> Tensor:
    r"""SOPHIA's off-policy policy gradient (arXiv 2507.16814, Eq. 7). Shape [T].

    Maximises E_D[R \sum_l log pi_theta(y_l | y_<l, x, v)], with the importance ratio
    pi_theta / mu taken as 1 (Lemma A.3). No KL term.
    """
    return -tokens.reward_T * tokens.logprob_T


def sft(tokens: ResponseTokens) -> Tensor:
    """Negative log-likelihood, whatever the reward. Shape [T]."""
    return -tokens.logprob_T


OBJECTIVES: dict[str, Callable[[ResponseTokens], Tensor]] = {"sophia": sophia, "sft": sft}


def denominator(normalize: str, num_tokens: int, num_trajectories: int) -> int:
    """What the summed loss of a step is divided by.

    Args:
        normalize: `token` or `trajectory`.
        num_tokens: response tokens of the whole step, over all ranks and micro-batches.
        num_trajectories: rows of the whole step.
    """
    return {"token": num_tokens, "trajectory": num_trajectories}[normalize]


def summed_loss(objective: str, tokens: ResponseTokens, divisor: int) -> Tensor:
    """A micro-batch's part of its step's loss, a scalar in float32."""
    loss: Tensor = OBJECTIVES[objective](tokens).sum() / divisor
    return loss
