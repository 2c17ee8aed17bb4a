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


def position_ids(model: Any, input_ids_BL: Tensor, grids: list[Tensor | None]) -> Tensor:
    """A plain ramp, by which rows are told apart, then time, height and width. Shape [4, B, L].

    The ramp has to be there: from three rows alone the language model builds no mask.
    """
    ramp_BL = torch.arange(input_ids_BL.shape[1], device=input_ids_BL.device).expand_as(
        input_ids_BL
    )
    present = [grid for grid in grids if grid is not None]
    if not present:
        return ramp_BL.expand(4, -1, -1)
    position_3BL, _ = model.model.get_rope_index(
        input_ids_BL,
        mm_token_type_ids=(input_ids_BL == model.config.image_token_id).int(),
        image_grid_thw=torch.cat(present),
    )
    return torch.cat([ramp_BL[None], position_3BL])
