"""InternVL: an image is one or more tiles, each a fixed number of tokens; plain positions."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from stages.families import ImageFeatures


def image_features(model: Any, pixels: Mapping[str, Tensor]) -> ImageFeatures:
    """Run vision tower and projector over all tiles of a row's images."""
    config = model.config
    features = model.model.get_image_features(
        pixel_values=pixels["pixel_values"],
        vision_feature_layer=config.vision_feature_layer,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        return_dict=True,
    ).pooler_output  # [tiles, tokens per tile, H]
    return ImageFeatures(features.flatten(0, 1))


def position_ids(model: Any, input_ids_L: Tensor, grid_I3: Tensor | None) -> Tensor:
    """0, 1, 2, ... Shape [L]."""
    return torch.arange(len(input_ids_L), device=input_ids_L.device)
