"""The ratio pi_theta / mu, which the paper takes as 1: measured, and as an importance weight.

Lemma A.3 bounds the bias of Eq. 7 by delta = max |pi_theta / mu - 1|, a figure that the paper
assumes to be small. Here it is taken of whole responses, and of the geometric mean over their
tokens, which is what stays comparable when responses are long.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

QUANTILES = {"min": 0.0, "p05": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}
QUANTILES |= {"max": 1.0}
LARGEST_EXPONENT = 700.0
"""Of e, so that what is reported stays a finite number."""
MEANING = {
    "policy": (
        "mu is the policy that wrote the rollouts, in the same tokens and under the same prompt: "
        "before training the ratio is 1 up to the arithmetic of its engine."
    ),
    "reasoner": (
        "mu is the reasoner's probability of its text, given the caption, in its own tokens and "
        "under its own prompt; pi_theta is the policy's of the same text, given the image, in the "
        "policy's tokens. Where tokenizers differ it is a ratio of two probabilities of a text, "
        "not of two policies token by token."
    ),
}
MEANING["both"] = f"Of the policy's own rollouts: {MEANING['policy']} Else: {MEANING['reasoner']}"
MOST_OWN_DIFFERENCE = 0.1
"""Of a token's log-probability, in the median, that engines and arithmetic account for."""


def importance_weight(log_ratio: float, cap: float) -> float:
    """min(ratio, cap): truncated importance sampling (Ionides, 2008)."""
    return min(math.exp(min(log_ratio, LARGEST_EXPONENT)), cap)


def effective_sample_size(log_weights: Sequence[float]) -> float:
    """Kish's: (sum w)^2 / sum w^2, n for equal weights and 1 where one outweighs all others."""
    weights = np.exp(np.array(log_weights) - max(log_weights))
    return float(weights.sum() ** 2 / (weights**2).sum())


def describe_ratio(
    log_ratios: Sequence[float], num_tokens: Sequence[int], is_own: Sequence[bool]
) -> dict[str, Any]:
    """The distribution of pi_theta / mu over some responses.

    Args:
        log_ratios: log pi_theta(y) - log mu(y) of each.
        num_tokens: the policy's tokens of each.
        is_own: whether the policy itself wrote it.
    """
    per_token = (np.array(log_ratios) / np.array(num_tokens)).tolist()
    author = "policy" if all(is_own) else "both" if any(is_own) else "reasoner"
    found: dict[str, Any] = {
        "num_rows": len(log_ratios),
        "written_by": author,
        "log_ratio_per_sequence": quantiles(log_ratios),
        "log_ratio_per_token": quantiles(per_token),
        "effective_sample_size": effective_sample_size(log_ratios),
        "effective_sample_size_per_token": effective_sample_size(per_token),
        "delta": delta(log_ratios),
        "delta_per_token": delta(per_token),
    }
    return found


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """From the least to the largest."""
    found = np.quantile(np.array(values), list(QUANTILES.values())).tolist()
    return dict(zip(QUANTILES, found, strict=True))


def delta(log_ratios: Sequence[float]) -> float:
    """Max |ratio - 1| (Lemma A.3)."""
    return max(abs(math.expm1(min(log_ratio, LARGEST_EXPONENT))) for log_ratio in log_ratios)


def explain(measured: dict[str, Any]) -> dict[str, Any]:
    """What was measured before and after training, and in words what it means."""
    before: dict[str, Any] = measured["before"]
    found = {**measured, "meaning": MEANING[before["written_by"]]}
    median = before["log_ratio_per_token"]["median"]
    if before["written_by"] == "policy" and abs(median) > MOST_OWN_DIFFERENCE:
        found["warning"] = (
            f"Before training the policy gives its own rollouts {median:+.2f} per token, in "
            "log-probability, beside what it gave them when it wrote them. It should be 0: is "
            "models.policy.path what wrote them, and train.system_prompt what "
            "reason.system_prompt was?"
        )
    return found
