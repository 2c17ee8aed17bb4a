"""Which parts of a policy train, and that the others end as they began."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from data.errors import EngineError

LANGUAGE = ("language_model", "lm_head")
"""The parts that may train."""


def parts(model: Any) -> Iterator[tuple[str, nn.Module]]:
    """Language model, vision tower, projector, ... by name, and the head."""
    yield from model.model.named_children()
    yield "lm_head", model.lm_head


def describe_parts(model: Any) -> dict[str, Any]:
    """Parameters that train and that don't, by part, and hashes of the latter.

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
    return {**counts, **frozen_digests(model)}


def frozen_digests(model: Any) -> dict[str, str]:
    """SHA-256 of all weights that don't train, with their names and types.

    Those of the language model, frozen beside adapters, have one of their own. DeepSpeed may have
    spread them: so all ranks call it.
    """
    outside, inside = hashlib.sha256(), hashlib.sha256()
    seen: set[int] = set()
    for part_name, part in parts(model):
        if part_name not in LANGUAGE:
            for name, tensor in part.state_dict().items():
                _enter(outside, f"{part_name}.{name}", tensor)
            continue
        for name, parameter in part.named_parameters():
            if not parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                with _gathered(parameter):
                    _enter(inside, f"{part_name}.{name}", parameter)
    digests = {"frozen_sha256": outside.hexdigest()}
    return digests | ({"frozen_language_sha256": inside.hexdigest()} if seen else {})


def _enter(digest: Any, name: str, tensor: Tensor) -> None:
    digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    digest.update(flat.view(torch.uint8).numpy())


def _gathered(parameter: nn.Parameter) -> AbstractContextManager[Any]:
    """Has a parameter in one piece, of which ZeRO-3 leaves a part on every rank."""
    if not hasattr(parameter, "ds_id"):
        return nullcontext()
    import deepspeed

    gathered: AbstractContextManager[Any] = deepspeed.zero.GatheredParameters([parameter])
    return gathered


def check_frozen(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare the frozen weights with those that training began with.

    Args:
        before: what `describe_parts` gave then; what it lacks was not asked.
        now: the same, or `frozen_digests`.

    Raises:
        EngineError: they are not the same.
    """
    digests = [name for name in now if name.endswith("_sha256") and name in before]
    if any(before[name] != now[name] for name in digests):
        raise EngineError(
            "The frozen weights of the policy are not those that training began with.",
            "Put the model at models.policy.path back as it was, or train from the start.",
        )
