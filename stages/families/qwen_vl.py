"""Qwen2.5-VL and Qwen3-VL: images of any size, positions in time, height and width (M-RoPE)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from stages.families import ImageFeatures


def image_features(model: Any, pixels: Mapping[str, Tensor]) -> ImageFeatures:
    """Run the vision tower, whose last layer is the projector, over a row's images."""
    grid_I3 = pixels["image_grid_thw"]
    features = model.model.get_image_features(
        pixels["pixel_values"], image_grid_thw=grid_I3, return_dict=True
    )
    deeper = getattr(features, "deepstack_features", None) or ()
    return ImageFeatures(
        torch.cat(list(features.pooler_output)),
        tuple(torch.cat(list(layer)) for layer in deeper),
        grid_I3,
    )


def position_ids(model: Any, input_ids_L: Tensor, grid_I3: Tensor | None) -> Tensor:
    """A plain ramp, then time, height and width. Shape [4, L].

    From three rows alone the language model would not know where a row begins.
    """
    ramp_L = torch.arange(len(input_ids_L), device=input_ids_L.device)
    if grid_I3 is None:
        return ramp_L.expand(4, -1)
    position_31L, _ = model.model.get_rope_index(
        input_ids_L[None],
        mm_token_type_ids=(input_ids_L == model.config.image_token_id).int()[None],
        image_grid_thw=grid_I3,
    )
    return torch.cat([ramp_L[None], position_31L[:, 0]])
