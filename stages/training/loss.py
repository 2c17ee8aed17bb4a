r"""Objectives: pure functions from the log-probabilities of response tokens to a loss per token.

A step's loss is the sum over all its response tokens, of all micro-batches and ranks, divided by a
denominator that is known before the first forward pass; so its gradient does not depend on how the
step is split.

T: response tokens of a micro-batch, of all its rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from stages.training.config import Normalize


@dataclass(frozen=True, kw_only=True)
class ResponseTokens:
    """The response tokens of a micro-batch."""

    logprob_T: Tensor
    """log pi_theta(y_l | y_<l, x, v), float32, at temperature 1; the only part with a gradient."""
    reward_T: Tensor
    """R of the token's trajectory, float32; 1 for mixed-in rows. With importance weights, times
    the trajectory's."""


def sophia(tokens: ResponseTokens) -> Tensor:
    r"""SOPHIA's off-policy policy gradient (arXiv 2507.16814, Eq. 7). Shape [T].

    Maximises E_D[R \sum_l log pi_theta(y_l | y_<l, x, v)], with the importance ratio
    pi_theta / mu taken as 1 (Lemma A.3). No KL term.
    """
    return -tokens.reward_T * tokens.logprob_T


def sft(tokens: ResponseTokens) -> Tensor:
    """Negative log-likelihood, whatever the reward. Shape [T]."""
    return -tokens.logprob_T


@dataclass(frozen=True, kw_only=True)
class RolloutTokens:
    """The response tokens of rollouts that are compared with others of their question."""

    logprob_T: Tensor
    """log pi_theta(y_l | y_<l, x, v), float32; the only part with a gradient."""
    behavior_logprob_T: Tensor
    """The same under the policy that wrote the rollout, at temperature 1, float32."""
    advantage_T: Tensor
    """Advantage of the token's rollout within its group, float32."""
    reference_logprob_T: Tensor | None = None
    """The same under the reference policy, float32; None: there is none, and no KL term."""


def grpo(tokens: RolloutTokens, *, clip: float = 0.2, kl_weight: float = 0.0) -> Tensor:
    r"""GRPO (arXiv 2402.03300, Eq. 3): PPO's clipped ratio, and a penalty for drift. Shape [T].

    With r = pi_theta / pi_behavior of a token: -min(r A, clip(r, 1 - eps, 1 + eps) A) + beta KL.
    Beyond the clip a token has no gradient where it would move further the same way. The paper
    takes the mean over each rollout's tokens, then over rollouts (`normalize = "trajectory-mean"`).
    With response tokens as the denominator every token counts alike, and a long rollout for more.

    Args:
        tokens: of any number of rollouts.
        clip: eps.
        kl_weight: beta.
    """
    ratio_T = (tokens.logprob_T - tokens.behavior_logprob_T).exp()
    clipped_T = ratio_T.clamp(1 - clip, 1 + clip)
    loss_T = -(ratio_T * tokens.advantage_T).minimum(clipped_T * tokens.advantage_T)
    if tokens.reference_logprob_T is not None and kl_weight:
        loss_T = loss_T + kl_weight * k3(tokens.logprob_T, tokens.reference_logprob_T)
    return loss_T


def k3(logprob_T: Tensor, reference_logprob_T: Tensor) -> Tensor:
    r"""Estimate of KL(pi_theta || pi_ref) per token, never negative. Shape [T].

    pi_ref / pi_theta - log(pi_ref / pi_theta) - 1 (arXiv 2402.03300, Eq. 4).
    """
    difference_T = reference_logprob_T - logprob_T
    return difference_T.exp() - difference_T - 1


OBJECTIVES: dict[str, Callable[[ResponseTokens], Tensor]] = {"sophia": sophia, "sft": sft}
"""Objectives of rows that stand for themselves. The loss of groups is `grpo`, whatever their
advantages come from."""


def denominator(normalize: Normalize, num_tokens: int, num_trajectories: int) -> int:
    """What the summed loss of a step is divided by.

    Args:
        normalize: `token`: its response tokens; else its rows.
        num_tokens: response tokens of the whole step, over all ranks and micro-batches.
        num_trajectories: rows of the whole step.
    """
    return num_tokens if normalize == "token" else num_trajectories


def token_weight(normalize: Normalize, num_tokens: int) -> float:
    """What each token of a row counts in the sum; a row's mean is a sum with 1 / |y|.

    Args:
        normalize: how a step is normalised.
        num_tokens: |y|, the row's response tokens.
    """
    return 1 / num_tokens if normalize == "trajectory-mean" else 1.0
