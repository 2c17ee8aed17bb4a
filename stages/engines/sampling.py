"""Tokens drawn row by row, each row with its own settings and random numbers.

`generate` decodes greedily and this picks the token that it takes, so that it works with any model
and what a row draws depends on its own seed alone.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from stages.engines import Sampling

ASK_EVERY = 16
"""Tokens between two questions whether to go on with a row; the first comes with its first."""


@dataclass
class Row:
    """One sequence being written."""

    sampling: Sampling
    max_tokens: int
    """The sampling's own, or what the context length leaves."""
    seed: int
    keep_going: Callable[[int], bool] | None = None
    """As in `Request`."""
    token_ids: list[int] = field(default_factory=list)
    logprob: float = 0.0
    """Sum over tokens at temperature 1, before top-p."""
    finished: bool = False
    pruned: bool = False
    """`keep_going` said no."""

    def __post_init__(self) -> None:
        self.generator = np.random.Generator(np.random.PCG64(self.seed))

    def add(self, token_id: int, logprob: float, end_token_ids: frozenset[int]) -> None:
        """Append a token, and finish at an end token, at the limit, or where told to."""
        if self.finished:
            return
        if math.isnan(logprob):
            raise FloatingPointError("the model's scores are not numbers")
        self.token_ids.append(token_id)
        self.logprob += logprob
        length = len(self.token_ids)
        self.finished = token_id in end_token_ids or length >= self.max_tokens
        if self.keep_going and not self.finished and length % ASK_EVERY == 1:
            self.finished = self.pruned = not self.keep_going(length)


class RowSampler:
    """A logits processor and stopping criterion in one: writes the rows of a batch.

    Args:
        rows: one for each sequence of the batch.
        end_token_ids: tokens that finish a row.
        should_stop: asked at every token; when it turns true the batch is abandoned.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        end_token_ids: frozenset[int],
        should_stop: Callable[[], bool],
    ) -> None:
        self.rows = rows
        self.end_token_ids = end_token_ids
        self.should_stop = should_stop
        self.abandoned = False

    def pick(self, input_ids: Tensor, logits: Tensor) -> Tensor:
        """Draw every row's next token; the scores returned are highest there."""
        device = logits.device

        def column(values: Iterable[float]) -> Tensor:
            return torch.tensor(list(values), dtype=torch.float64, device=device)

        tokens = draw(
            logits,
            column(row.sampling.temperature for row in self.rows),
            column(row.sampling.top_p for row in self.rows),
            column(row.generator.random() for row in self.rows),
        )[:, None]
        logprobs = torch.log_softmax(logits, dim=-1).gather(1, tokens)
        for row, token_id, logprob in zip(
            self.rows, tokens[:, 0].tolist(), logprobs[:, 0].tolist(), strict=True
        ):
            row.add(token_id, logprob, self.end_token_ids)
        return torch.full_like(logits, -torch.inf).scatter_(1, tokens, 0.0)

    def is_finished(self, input_ids: Tensor, scores: Tensor | None) -> Tensor:
        """Which rows need no further token."""
        self.abandoned = self.abandoned or self.should_stop()
        finished = [row.finished or self.abandoned for row in self.rows]
        return torch.tensor(finished, device=input_ids.device)


def draw(logits: Tensor, temperatures: Tensor, top_ps: Tensor, uniforms: Tensor) -> Tensor:
    """Pick tokens by inverse CDF.

    Args:
        logits: [rows, vocabulary], float32.
        temperatures: [rows], float64; 0: the likeliest token.
        top_ps: [rows], float64; the smallest set of tokens with at least this probability is kept.
        uniforms: [rows], float64, in [0, 1).

    Returns:
        token ids, [rows].
    """
    greedy = logits.argmax(dim=-1)
    if not bool(temperatures.any()):
        return greedy
    scaled = logits / torch.where(temperatures > 0, temperatures, 1.0)[:, None]
    # A sum of many small numbers: in float32 the tail of a large vocabulary would be off.
    probabilities = torch.softmax(scaled, dim=-1, dtype=torch.float64)
    drawn = _invert(probabilities, uniforms)
    nucleus = top_ps < 1
    if bool(nucleus.any()):
        drawn[nucleus] = _draw_nucleus(probabilities[nucleus], top_ps[nucleus], uniforms[nucleus])
    return torch.where(temperatures > 0, drawn, greedy)


def _draw_nucleus(probabilities: Tensor, top_ps: Tensor, uniforms: Tensor) -> Tensor:
    ordered, token_ids = probabilities.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(dim=-1) - ordered
    kept = ordered.masked_fill(before >= top_ps[:, None], 0.0)
    kept[:, 0] = ordered[:, 0]
    return token_ids.gather(1, _invert(kept, uniforms)[:, None])[:, 0]


def _invert(weights: Tensor, uniforms: Tensor) -> Tensor:
    """The first index at which the cumulative weight exceeds a uniform share of the total."""
    cumulative = weights.cumsum(dim=-1)
    shares = uniforms[:, None] * cumulative[:, -1:]
    # Rounding may put a share on the total itself; the last index with weight is meant.
    last = weights.shape[1] - 1 - (weights > 0).flip(1).int().argmax(dim=-1)
    index = torch.searchsorted(cumulative, shares, right=True)[:, 0]
    return torch.minimum(index, last)
