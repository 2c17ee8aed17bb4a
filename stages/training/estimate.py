"""What training will take, from the plan and the policy's configuration: no weight is loaded.

The memory is that of what is known to be large; fragmentation and communication buffers come on
top, so leave a tenth free.
"""

from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from stages.training.config import Config
from stages.training.flops import Work, known_peak
from stages.training.plan import Plan
from stages.training.tensor_facts import tensor_facts

GIB = 2**30
ASSUMED_MFU = 0.4
"""What large models commonly reach with long rows; the meters of a training say what it does."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What memory and arithmetic follow from."""

    trained: int
    """Parameters that train: those of language model and head, a tied one counted once, or those
    of LoRA's adapters."""
    adapted: int = 0
    """Parameters of language model and head that adapters sit on, and which don't train."""
    frozen: int
    """Parameters of vision tower and projector."""
    num_layers: int
    hidden_size: int
    intermediate_size: int

    @classmethod
    def of(cls, skeleton: Any) -> "Sizes":
        """Look at a model without weights."""
        language = {id(each): each for each in skeleton.model.language_model.parameters()}
        language |= {id(each): each for each in skeleton.lm_head.parameters()}
        whole = sum(each.numel() for each in language.values())
        trained = sum(each.numel() for each in language.values() if each.requires_grad)
        text = skeleton.config.get_text_config()
        return cls(
            trained=trained,
            adapted=whole - trained,
            frozen=sum(each.numel() for each in skeleton.parameters()) - whole,
            num_layers=text.num_hidden_layers,
            hidden_size=text.hidden_size,
            intermediate_size=text.intermediate_size,
        )


def make_skeleton(model: Path, config: Config) -> Any:
    """A model as it will be trained, adapters included, without any weights."""
    with torch.device("meta"):
        skeleton = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(model))
    skeleton.tie_weights()
    if config.lora_rank:
        from stages.training.lora import add_adapters

        with torch.device("meta"):
            add_adapters(skeleton.requires_grad_(False), config, seed=0)
    return skeleton


def state_bytes(sizes: Sizes, zero_stage: int, num_ranks: int, weight_bytes: int) -> int:
    """Weights, gradients and AdamW's state on one rank.

    Gradients, both moments and, for weights in bfloat16, a copy of them are float32. ZeRO-2 spreads
    these over the ranks, ZeRO-3 the weights too (Rajbhandari et al., arXiv 1910.02054, Fig. 1).
    Weights with adapters are spread as those that train are; vision tower and projector are whole
    on every rank.
    """
    spread = 4 + 8 + (4 if weight_bytes == 2 or zero_stage else 0)
    held = weight_bytes / (num_ranks if zero_stage == 3 else 1)
    state = held + spread / (num_ranks if zero_stage else 1)
    return round(sizes.trained * state + sizes.adapted * held) + sizes.frozen * weight_bytes


def activation_bytes(
    sizes: Sizes, num_tokens: int, num_targets: int, weight_bytes: int, checkpointing: bool
) -> int:
    """What one forward pass keeps for its backward pass, at its largest.

    A layer keeps 8 vectors of the hidden size and 4 of the intermediate size; with gradient
    checkpointing only its input, and all of them for one layer at a time. The fused head holds
    hidden states, their gradient and a chunk of logits of the same size, in float32.
    """
    layer = 8 * sizes.hidden_size + 4 * sizes.intermediate_size
    kept = sizes.num_layers * (sizes.hidden_size if checkpointing else layer)
    kept += layer if checkpointing else 0
    return num_tokens * kept * weight_bytes + 3 * num_targets * sizes.hidden_size * 4


def loading_bytes(model: Path, weight_bytes: int, ranks_per_node: int) -> int | None:
    """What a node with GPUs needs to load the policy, which every rank does whole.

    Weights of the type that is computed in are mapped from their files, so that the ranks of a node
    share one copy; of others each rank makes a copy of its own.

    Returns:
        None where the files are not safetensors, and so can't be looked into.
    """
    facts = tensor_facts(model).values()
    computed_in = {2: "BF16", 4: "F32"}[weight_bytes]
    copies = {True: 1, False: ranks_per_node}
    each = [prod(shape) * weight_bytes * copies[kind == computed_in] for shape, kind in facts]
    return sum(each) or None


def estimate(plan: Plan, config: Config, model: Path, num_ranks: int) -> dict[str, Any]:
    """Forward passes, memory of one rank, arithmetic and time of a whole training, for people."""
    skeleton = make_skeleton(model, config)
    sizes, work = Sizes.of(skeleton), Work.of(skeleton)
    dealt = [
        plan.micro_batches(step, config.micro_batch_size, num_ranks, config.pack_length)
        for step in range(len(plan.steps))
    ]
    packs = [pack for ranks in dealt for packs in ranks for pack in packs if pack]
    slots = sum(len(packs) for ranks in dealt for packs in ranks)
    tokens = [sum(plan.lengths[row] for row in pack) for pack in packs]
    targets = [sum(plan.response_lengths[row] for row in pack) for pack in packs]
    weight_bytes = 4 if config.computes_in_float32(torch.cuda.is_available()) else 2
    state = state_bytes(sizes, config.zero_stage, num_ranks, weight_bytes)
    activations = max(
        activation_bytes(sizes, *pair, weight_bytes, config.gradient_checkpointing)
        for pair in zip(tokens, targets, strict=True)
    )
    loading = loading_bytes(model, weight_bytes, num_ranks // config.num_nodes)
    fill = sum(tokens) / (len(packs) * config.pack_length) if config.pack_length else None
    return {
        "forward_passes": len(packs),
        "pack_fill": None if fill is None else round(fill, 4),
        "longest_pack": max(tokens),
        "idle_forward_passes": slots - len(packs),
        "num_ranks": num_ranks,
        "parameters": asdict(sizes),
        "gib_per_rank": {
            "weights_and_optimizer": round(state / GIB, 2),
            "activations": round(activations / GIB, 2),
        },
        "host_gib_per_node_to_load": None if loading is None else round(loading / GIB, 2),
        **estimate_time(plan, config, work, num_ranks),
    }


def estimate_time(plan: Plan, config: Config, work: Work, num_ranks: int) -> dict[str, Any]:
    """Arithmetic of a whole training, and its time where the hardware's peak is known."""
    lengths = [plan.lengths[row] for rows in plan.steps for row in rows]
    targets = sum(map(plan.num_targets, range(len(plan.steps))))
    operations = work.operations(lengths, targets)
    in_float32 = config.computes_in_float32(torch.cuda.is_available())
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    peak = known_peak(torch.float32 if in_float32 else torch.bfloat16, device)
    if config.peak_tflops is not None:
        peak = config.peak_tflops * 1e12
    found = {"petaflops": round(operations / 1e15, 3), "estimated_seconds": None}
    if peak is None:
        how = "the peak of the hardware is not known here: set train.peak_tflops"
        return {**found, "estimated_from": how}
    return {
        **found,
        "estimated_seconds": round(operations / (num_ranks * peak * ASSUMED_MFU), 1),
        "estimated_from": (
            f"[{work.language_formula()}] / ({num_ranks} ranks * {peak / 1e12:g}e12 * an assumed "
            f"MFU of {ASSUMED_MFU:g}), the frozen vision part left out"
        ),
    }
