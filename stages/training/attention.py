"""Attention of packed rows: a token sees its own row, up to itself, and nothing of the others.

Boundaries are given, not inferred: transformers would find them where `position_ids` restart, but
only without a cache and a mask, not under M-RoPE, and by a mask of L x L.

L: tokens of the pack. N: attention heads. K: key-value heads. D: size of a head.
"""

import inspect
import itertools
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from data.errors import EngineError

PACKED = "packed"
"""What the implementation is called in a model's configuration."""
FEWER_KEY_HEADS: dict[str, Any] = (
    {"enable_gqa": True} if "enable_gqa" in inspect.signature(varlen_attn).parameters else {}
)
"""What the kernel has to be told of them, which before torch 2.12 is nothing."""
LARGEST_HEAD = 256
"""Of the kernel for rows of different lengths."""


@dataclass(frozen=True)
class Segments:
    """Where the rows of a pack lie."""

    lengths: tuple[int, ...]
    """Tokens of each row."""
    bounds: Tensor
    """Where each begins, and the end of the last one: int32, [rows + 1]."""

    @classmethod
    def of(cls, lengths: tuple[int, ...], device: torch.device) -> Self:
        """Rows of these lengths, one behind the other."""
        bounds = [0, *itertools.accumulate(lengths)]
        return cls(lengths, torch.tensor(bounds, dtype=torch.int32, device=device))


def packed_attention(
    module: nn.Module,
    query_1NLD: Tensor,
    key_1KLD: Tensor,
    value_1KLD: Tensor,
    attention_mask: Tensor | None,
    *,
    segments: Segments,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each row. Shape [1, L, N, D].

    In half precision on a GPU one variable-length kernel does all rows; elsewhere the rows go
    through torch's ordinary attention in turn, which costs no more than they would alone.

    Raises:
        EngineError: the model caps its attention scores, under a name that the plan did not know.
    """
    if softcap is not None:
        raise EngineError(
            "The policy caps its attention scores, which attention within packed rows does not.",
            "Train row by row, with train.pack_length = null and train.micro_batch_size = 1.",
        )
    tensors = (query_1NLD, key_1KLD, value_1KLD)
    if dropout == 0 and has_kernel(query_1NLD):
        return _all_rows(*tensors, segments, scaling, sliding_window), None
    rows = zip(
        *(torch.split(tensor, [*segments.lengths], dim=2) for tensor in tensors), strict=True
    )
    parts = [
        sdpa_attention_forward(
            module,
            *row,
            window_mask(row[0].shape[2], sliding_window, row[0].device),
            dropout=dropout,
            scaling=scaling,
            is_causal=True,
        )[0]
        for row in rows
    ]
    return torch.cat(parts, dim=1), None


def _all_rows(
    query_1NLD: Tensor,
    key_1KLD: Tensor,
    value_1KLD: Tensor,
    segments: Segments,
    scaling: float | None,
    sliding_window: int | None,
) -> Tensor:
    """All rows in one kernel. Shape [1, L, N, D]."""
    tensors = (query_1NLD, key_1KLD, value_1KLD)
    query_LND, key_LKD, value_LKD = (tensor[0].transpose(0, 1) for tensor in tensors)
    longest = max(segments.lengths)
    out_LND = varlen_attn(
        query_LND,
        key_LKD,
        value_LKD,
        segments.bounds,
        segments.bounds,
        longest,
        longest,
        scale=scaling,
        # Keys to the left of a query, and to its right.
        window_size=((sliding_window or 0) - 1, 0),
        **FEWER_KEY_HEADS,
    )
    assert isinstance(out_LND, Tensor)
    return out_LND[None]


def has_kernel(query: Tensor) -> bool:
    """Whether the variable-length kernel takes these tensors."""
    half = query.dtype in (torch.bfloat16, torch.float16)
    return query.is_cuda and half and query.shape[-1] <= LARGEST_HEAD


def window_mask(length: int, window: int | None, device: torch.device) -> Tensor | None:
    """A causal mask of the last `window` tokens; None where being causal says it all."""
    if window is None or length <= window:
        return None
    ones = torch.ones(1, 1, length, length, dtype=torch.bool, device=device)
    return ones.tril().triu(1 - window)


# Under a name that has no mask function, transformers makes no mask.
AttentionInterface.register(PACKED, packed_attention)
