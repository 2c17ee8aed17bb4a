"""The frozen part of a policy: what it makes of a row's images, read ahead and kept for next time.

N: image tokens. H: hidden size.
"""

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from data.images import open_image
from stages.families import Family, ImageFeatures
from stages.training.flops import patches_of
from stages.training.meters import Stopwatch
from stages.training.plan import Plan

CACHED_FEATURE_BYTES = 1 << 30
"""Image features that a rank keeps for the next trajectory of the same images: some 30 images of
InternVL3-38B, about as many as a rank's share of 512 trajectories has. So an image goes through the
tower once for each rank that has a row of it in a step, and anew in a later step, unless all of the
data fits. `packing.deal` has ranks share fewer images. MFU's operations count every pass;
`images_per_second` is of images that were trained on."""


class Vision:
    """Vision tower and projector, whole on every rank.

    Args:
        model: the whole model.
        family: of the model.
        processor: its own.
        device: where it computes.
    """

    def __init__(self, model: Any, family: Family, processor: Any, device: torch.device) -> None:
        self.model, self.family, self.processor, self.device = model, family, processor, device
        self.patches: list[tuple[int, float]] = []
        """Of the images that were looked at since the loop asked."""
        self.waiting = Stopwatch()
        """For images that were not read and processed yet."""
        self._reader = ThreadPoolExecutor(1, "images")
        self._coming: dict[tuple[int, ...], Future[Any]] = {}
        self._features: OrderedDict[tuple[int, ...], ImageFeatures] = OrderedDict()
        self._feature_bytes = 0

    def expect(self, plan: Plan, rows: Iterable[int]) -> None:
        """Have the images of rows that come next read and processed, in a thread."""
        for images in map(plan.images_of, rows):
            if images and images not in self._features and images not in self._coming:
                self._coming[images] = self._reader.submit(self.read, plan, images)

    @torch.no_grad()
    def features(self, plan: Plan, images: tuple[int, ...]) -> ImageFeatures:
        """Features of one row's images.

        They are computed row by row, so that their last bits do not depend on the neighbours.
        """
        if (found := self._features.get(images)) is not None:
            self._features.move_to_end(images)
            return _map(found, lambda tensor: tensor.to(self.device))
        with self.waiting:
            coming = self._coming.pop(images, None)
            pixels = self.read(plan, images) if coming is None else coming.result()
        self.patches += patches_of(pixels, self.model.config.vision_config)
        features = self.family.image_features(self.model, pixels.to(self.device))
        self._remember(images, _map(features, lambda tensor: tensor.cpu()))
        return features

    def read(self, plan: Plan, images: tuple[int, ...]) -> Any:
        """Pixels of images of a plan."""
        return self.pixels([open_image(plan.image(number)) for number in images])

    def pixels(self, images: Sequence[Image]) -> Any:
        """What the processor makes of images, tensors by name.

        The whole processor takes three times as long, most of it to check its own arguments.
        """
        options = self.processor.valid_processor_kwargs._defaults.get("images_kwargs", {})
        return self.processor.image_processor(list(images), return_tensors="pt", **options)

    def forget(self) -> None:
        """Drop all features, so that every image is new. What was read ahead stays."""
        self._features.clear()
        self._feature_bytes = 0

    def _remember(self, images: tuple[int, ...], features: ImageFeatures) -> None:
        self._features[images] = features
        self._feature_bytes += _num_bytes(features)
        while self._feature_bytes > CACHED_FEATURE_BYTES:
            self._feature_bytes -= _num_bytes(self._features.popitem(last=False)[1])


def join_features(images: Sequence[ImageFeatures]) -> ImageFeatures | None:
    """Features of several rows, one behind the other."""
    if not images:
        return None
    layers = zip(*(image.deeper_NH for image in images), strict=True)
    return ImageFeatures(
        torch.cat([image.embeddings_NH for image in images]),
        tuple(torch.cat(layer) for layer in layers),
    )


def _map(features: ImageFeatures, function: Callable[[Tensor], Tensor]) -> ImageFeatures:
    grid = features.grid_I3
    return ImageFeatures(
        function(features.embeddings_NH),
        tuple(map(function, features.deeper_NH)),
        None if grid is None else function(grid),
    )


def _num_bytes(features: ImageFeatures) -> int:
    tensors = itertools.chain([features.embeddings_NH], features.deeper_NH)
    return sum(tensor.nbytes for tensor in tensors)
