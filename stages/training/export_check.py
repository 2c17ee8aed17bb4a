"""Whether an export is the policy that was trained: loaded anew, it has its weights and its words.

The words are a greedy completion of a planned prompt. They are compared where the model fits beside
the rest into this rank's GPU, or is small enough for the CPU, on the same device for both; the
weights always.
"""

import inspect
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from data.errors import EngineError
from stages.families import load_family, model_type
from stages.training.packing_check import rows_to_check
from stages.training.plan import Plan
from stages.training.vision import Vision

NUM_TOKENS = 8
"""Of the greedy completion."""
LARGEST_ON_CPU = 20 * 2**30
"""Bytes of weights: 8 billion parameters in bfloat16 take minutes there, larger ones too long."""
ROOM = 1.25
"""Free memory that a GPU needs, in sizes of the weights."""

Tensors = dict[str, tuple[tuple[int, ...], str, str]]
"""Name -> shape, type, SHA-256."""


@dataclass(frozen=True)
class Portrait:
    """What a model is known by."""

    tensors: Tensors
    tokens: list[int] | None
    """Of the completion; None: the model is too large to be asked."""
    device: torch.device | None
    """Where it was asked. Another one's last bits may give other words."""


def portray(model: Any, folder: Path, plan: Plan) -> Portrait:
    """Take a model's weights and words down.

    Args:
        model: on the CPU; there it is afterwards.
        folder: whose processor prepares the images.
        plan: where the prompt comes from.
    """
    tensors = tensors_of(model)
    device = device_for(model)
    tokens = None if device is None else complete(model, folder, plan, device)
    return Portrait(tensors, tokens, device)


def load_again(folder: Path, expected: Portrait) -> Any:
    """Load what was exported as anybody would, and compare its weights with those trained.

    Args:
        folder: the export, complete.
        expected: the portrait of the trained policy.

    Raises:
        EngineError: they are not the same.
    """
    model, loading = AutoModelForImageTextToText.from_pretrained(
        folder, dtype="auto", output_loading_info=True
    )
    wrong = [f"{kind}: {sorted(names)[:3]}" for kind, names in loading.items() if names]
    found = tensors_of(model)
    both = found.keys() | expected.tensors.keys()
    if differing := sorted(name for name in both if found.get(name) != expected.tensors.get(name)):
        wrong.append(f"{len(differing)} differing tensors, such as {differing[0]}")
    if wrong:
        raise _not_the_same("; ".join(wrong))
    return model


def check_words(model: Any, folder: Path, expected: Portrait, plan: Plan) -> None:
    """Compare what an export says with what the trained policy said, where that was asked.

    Args:
        model: the export, loaded.
        folder: where it lies.
        expected: the portrait of the trained policy.
        plan: as for that one.

    Raises:
        EngineError: it is not the same.
    """
    if expected.device is None:
        return
    tokens = complete(model, folder, plan, expected.device)
    if tokens != expected.tokens:
        raise _not_the_same(f"the greedy completion {tokens} in place of {expected.tokens}")


def tensors_of(model: Any) -> Tensors:
    """Shape, type and hash of every weight, under its name in the loaded model."""
    state = model.state_dict()
    with ThreadPoolExecutor() as pool:
        return dict(zip(state, pool.map(_facts, state.values()), strict=True))


def device_for(model: Any) -> torch.device | None:
    """Where the model can be asked; None: nowhere in reasonable time."""
    size = sum(each.nbytes for each in model.parameters())
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # of what training has let go
        if torch.cuda.mem_get_info()[0] >= ROOM * size:
            return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu") if size <= LARGEST_ON_CPU else None


@torch.inference_mode()
def complete(model: Any, folder: Path, plan: Plan, device: torch.device) -> list[int]:
    """A greedy completion of the shortest row's prompt, of those with images where some have."""
    row = plan.row(rows_to_check(plan)[0])
    ids_1L = torch.tensor(row.prompt_ids, dtype=torch.long)[None]
    inputs: dict[str, Tensor] = {"attention_mask": torch.ones_like(ids_1L)}
    if row.images:
        family = load_family(model_type(folder))
        vision = Vision(model, family, AutoProcessor.from_pretrained(folder), device)
        inputs |= vision.read(plan, row.images)
        inputs["mm_token_type_ids"] = (ids_1L == model.config.image_token_id).int()
    known = inspect.signature(model.forward).parameters
    # A recommended repetition penalty, say, is no matter of the weights.
    model.generation_config = GenerationConfig()
    model.eval().to(device)
    written = model.generate(
        input_ids=ids_1L.to(device),
        **{name: _to(inputs[name], device, model.dtype) for name in known.keys() & inputs.keys()},
        max_new_tokens=NUM_TOKENS,
        do_sample=False,
        pad_token_id=0,
    )
    model.to("cpu")
    if device.type == "cuda":
        torch.cuda.empty_cache()  # others may ask for the room
    return [int(token) for token in written[0, ids_1L.shape[1] :]]


def _to(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Pixels take the weights' type; token ids stay integers."""
    return tensor.to(device, dtype if tensor.is_floating_point() else None)


def _facts(tensor: Tensor) -> tuple[tuple[int, ...], str, str]:
    data: Any = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return tuple(tensor.shape), str(tensor.dtype), sha256(data).hexdigest()


def _not_the_same(what: str) -> EngineError:
    return EngineError(
        f"What was exported, loaded anew, is not the policy that was trained: it has {what}.",
        "Run the same command again, which exports the last checkpoint anew.",
    )
