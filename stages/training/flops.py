"""Arithmetic of a training step, and what a GPU could do in the same time.

Counted is what the step needs, not what is done twice: gradient checkpointing's second forward pass
is left out, and so are norms, embeddings and activation functions.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

PEAK_TFLOPS = (
    (r"B200", 2250.0),
    (r"H100 PCIe", 756.0),
    (r"H100 NVL", 835.0),
    (r"G?H[12]00|H800", 989.0),
    (r"H20", 148.0),
    (r"A[18]00", 312.0),
    (r"L40S", 362.0),
)
"""Dense bfloat16, by name of the GPU, from NVIDIA's data sheets; the first that fits."""


def known_peak(dtype: torch.dtype, device: torch.device) -> float | None:
    """Operations per second of the GPU in bfloat16; None where that is not known."""
    if device.type != "cuda" or dtype != torch.bfloat16:
        return None
    name = torch.cuda.get_device_name(device)
    found = [peak for pattern, peak in PEAK_TFLOPS if re.search(rf"\b({pattern})\b", name)]
    return found[0] * 1e12 if found else None


@dataclass(frozen=True, kw_only=True)
class Work:
    """What the arithmetic of a model follows from."""

    language: int
    """Weights of the language model, without embeddings, head and adapters."""
    adapters: int
    """Weights of LoRA's adapters; 0: the language model itself trains."""
    head: int
    """Weights of the head."""
    layers: int
    width: int
    """Heads of attention times their size."""
    vision: int
    """Weights of vision tower and projector."""
    vision_layers: int
    vision_width: int

    @classmethod
    def of(cls, model: Any) -> "Work":
        """Look at a whole model, before its weights are spread over ranks."""
        text, vision = model.config.get_text_config(), model.config.vision_config
        language = model.model.language_model
        embeddings = language.get_input_embeddings().weight.numel()
        adapters = count(each for name, each in language.named_parameters() if ".lora_" in name)
        inside = count(language.parameters())
        size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        layers = vision.depth if hasattr(vision, "depth") else vision.num_hidden_layers
        return cls(
            language=inside - embeddings - adapters,
            adapters=adapters,
            head=model.lm_head.weight.numel(),
            layers=text.num_hidden_layers,
            width=text.num_attention_heads * size,
            vision=count(
                weights
                for part in model.model.children()
                if part is not language
                for weights in part.parameters()
            ),
            vision_layers=layers,
            vision_width=vision.hidden_size,
        )

    @property
    def passes(self) -> int:
        """Operations for a weight and token (Kaplan et al., arXiv 2001.08361, 2.1).

        Forward 2, backward 2 for inputs and 2 for weights, which frozen ones do without.
        """
        return 4 if self.adapters else 6

    def operations(
        self, lengths: Iterable[int], num_targets: int, patches: Iterable[tuple[int, float]] = ()
    ) -> float:
        """Operations of a step.

        Args:
            lengths: tokens of each row.
            num_targets: response tokens, which alone go through the head.
            patches: of each image that went through the vision tower, as in `patches_of`.
        """
        rows, images = list(lengths), list(patches)
        tokens = sum(rows)
        weights = (self.passes * self.language + 6 * self.adapters) * tokens
        head = self.passes * self.head * num_targets
        attention = 6 * self.layers * self.width * sum(length * length for length in rows)
        seen = 2 * self.vision * sum(number for number, _ in images)
        looks = sum(number * near for number, near in images)
        return float(
            weights + head + attention + seen + 4 * self.vision_layers * self.vision_width * looks
        )

    def formula(self, peak: float) -> str:
        """How MFU is worked out, for people."""
        return (
            f"MFU = [{self.language_formula()} "
            f"+ 2*{self.vision:,}*patches "
            f"+ 4*{self.vision_layers}*{self.vision_width}*sum(patches of an image^2)] "
            f"/ (seconds * ranks * {peak / 1e12:g}e12): causal attention within rows; the frozen "
            "vision part forward, where its features are not kept; nothing that is done twice"
        )

    def language_formula(self) -> str:
        """Operations of the language model, for people."""
        passes, adapters = self.passes, f" + 6*{self.adapters:,}" if self.adapters else ""
        return (
            f"({passes}*{self.language:,}{adapters})*tokens "
            f"+ {passes}*{self.head:,}*response tokens "
            f"+ 6*{self.layers}*{self.width}*sum(row length^2)"
        )


def count(parameters: Iterable[nn.Parameter]) -> int:
    """Weights in matrices: norms and biases are no matter."""
    return sum(each.numel() for each in parameters if each.ndim >= 2)


def patches_of(pixels: Mapping[str, Tensor], vision: Any) -> list[tuple[int, float]]:
    """Patches of each image, or tile, and how many of them each attends to in the mean layer.

    Args:
        pixels: what the processor made of the images of a row.
        vision: configuration of the vision tower.
    """
    size = vision.patch_size
    sides = [size] * 2 if isinstance(size, int) else list(size)
    if "image_grid_thw" in pixels:
        grids = pixels["image_grid_thw"].tolist()
        return [(t * h * w, near(h * w, vision, sides[0])) for t, h, w in grids]
    *batch, _, height, width = pixels["pixel_values"].shape
    number = (height // sides[0]) * (width // sides[1])
    return [(number, number)] * math.prod(batch)


def near(patches: int, vision: Any, patch_size: int) -> float:
    """Patches that one attends to in the mean layer; Qwen2.5-VL has windows in most of them."""
    whole = getattr(vision, "fullatt_block_indexes", None)
    if whole is None:
        return patches
    window = min(patches, (vision.window_size // patch_size) ** 2)
    return float((len(whole) * patches + (vision.depth - len(whole)) * window) / vision.depth)
