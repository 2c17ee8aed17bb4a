"""LLaVA: one fixed-size view of each image; plain positions."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from stages.families import ImageFeatures
from stages.families.internvl import position_ids as position_ids


def image_features(model: Any, pixels: Mapping[str, Tensor]) -> ImageFeatures:
    """Run vision tower and projector over a row's images."""
    config = model.config
    per_image = model.model.get_image_features(
        pixel_values=pixels["pixel_values"],
        vision_feature_layer=config.vision_feature_layer,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        return_dict=True,
    ).pooler_output
    return ImageFeatures(torch.cat(list(per_image)))
