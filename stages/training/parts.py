"""Which parts of a policy train, and that the others end as they began."""

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from data.errors import EngineError

LANGUAGE = ("language_model", "lm_head")
"""The parts that may train."""


def parts(model: Any) -> Iterator[tuple[str, nn.Module]]:
    """Language model, vision tower, projector, ... by name, and the head."""
    yield from model.model.named_children()
    yield "lm_head", model.lm_head


def describe_parts(model: Any) -> dict[str, Any]:
    """Parameters that train and that don't, by part, and a hash of the parts without any that do.

    Args:
        model: the whole model, before DeepSpeed spreads it.

    Raises:
        RuntimeError: nothing trains, or something outside the language model does.
    """
    seen: set[int] = set()
    counts: dict[str, dict[str, int]] = {"trained": {}, "frozen": {}}
    for name, part in parts(model):
        for parameter in part.parameters():
            if id(parameter) not in seen:  # a head may be the embeddings
                seen.add(id(parameter))
                of_kind = counts["trained" if parameter.requires_grad else "frozen"]
                of_kind[name] = of_kind.get(name, 0) + parameter.numel()
    if not counts["trained"] or not counts["trained"].keys() <= set(LANGUAGE):
        raise RuntimeError(f"of the language model alone should train: {counts['trained']}")
    return {**counts, "frozen_sha256": frozen_digest(model)}


def frozen_digest(model: Any) -> str:
    """SHA-256 of all weights outside the language model, with their names and types."""
    digest = hashlib.sha256()
    for part_name, part in parts(model):
        if part_name in LANGUAGE:
            continue
        for name, tensor in part.state_dict().items():
            digest.update(f"{part_name}.{name} {tensor.dtype} {list(tensor.shape)}".encode())
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()


def check_frozen(before: dict[str, Any], now: str) -> None:
    """Compare the frozen weights with those that training began with.

    Args:
        before: what `describe_parts` gave then; empty: it was not asked.
        now: `frozen_digest`.

    Raises:
        EngineError: they are not the same.
    """
    if before and before["frozen_sha256"] != now:
        raise EngineError(
            "The frozen weights of the policy are not those that training began with.",
            "Put the model at models.policy.path back as it was, or train from the start.",
        )
