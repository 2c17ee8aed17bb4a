"""The policy in two parts: what is frozen, and what DeepSpeed trains.

Vision tower and projector stay outside the DeepSpeed engine, whole on every rank, without
gradients. So a step may mix rows with and without images at ZeRO-3, where every rank has to run
the same modules in the same order; and checkpoints hold no frozen weight.

L: tokens of a pack, all its rows one behind the other. T: response tokens. N: image tokens.
H: hidden size.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, AutoProcessor

from data.errors import EngineError
from stages.families import Family, ImageFeatures, load_family, model_type
from stages.training.attention import PACKED, Segments
from stages.training.flops import Work
from stages.training.head import Head
from stages.training.plan import Plan, Row
from stages.training.vision import Vision, join_features

READ_AHEAD = 2
"""Micro-batches of which the images are read before their turn."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A micro-batch: a pack of one row or more."""

    input_ids_L: Tensor
    """Without each row's last token, which predicts nothing."""
    position_ids: Tensor
    """As the family wants them, counted in each row from its beginning: [1, L], or [4, 1, L]."""
    segments: Segments
    """Where the rows lie."""
    images: ImageFeatures | None
    """Of all rows, in order; None: no row has an image."""
    source_T: Tensor
    """Where in the pack each response token is predicted."""
    target_T: Tensor
    """The response tokens."""


class LanguageModel(nn.Module):
    """The part that is trained: language model and head.

    Args:
        model: the whole model, whose modules this one shares.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.language_model = model.model.language_model
        self.lm_head = Head(model.lm_head)
        self.image_token_id: int = model.config.image_token_id

    def forward(self, batch: Batch) -> Tensor:
        """Log-probabilities of the response tokens, float32. Shape [T]."""
        ids_1L = batch.input_ids_L[None]
        embeddings_1LH = self.language_model.get_input_embeddings()(ids_1L)
        deeper: dict[str, Any] = {}
        if batch.images is not None:
            mask_1L = ids_1L == self.image_token_id
            image_NH = batch.images.embeddings_NH.to(embeddings_1LH.dtype)
            embeddings_1LH = embeddings_1LH.masked_scatter(mask_1L[..., None], image_NH)
            if batch.images.deeper_NH:
                deeper["visual_pos_masks"] = mask_1L
                deeper["deepstack_visual_embeds"] = list(batch.images.deeper_NH)
        if self.language_model.config._attn_implementation == PACKED:
            deeper["segments"] = batch.segments
        elif len(batch.segments.lengths) > 1:
            raise RuntimeError("several rows need packed attention")
        # With a cache, which is the default, some models would take the pack for one row.
        hidden_1LH = self.language_model(
            inputs_embeds=embeddings_1LH,
            position_ids=batch.position_ids,
            use_cache=False,
            **deeper,
        ).last_hidden_state
        logprob_T: Tensor = self.lm_head(hidden_1LH[0, batch.source_T], batch.target_T)
        return logprob_T


class Policy:
    """A loaded policy.

    Args:
        folder: Hugging Face layout.
        dtype: of weights and arithmetic.
        device: where the frozen part goes; DeepSpeed moves the other.
        adapt: puts adapters into the model, which then train alone.
    """

    def __init__(
        self,
        folder: Path,
        dtype: torch.dtype,
        device: torch.device,
        adapt: Callable[[Any], None] | None = None,
    ) -> None:
        self.family: Family = load_family(model_type(folder))
        self.device = device
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype)
        self.model.requires_grad_(False).eval()
        if adapt is not None:
            adapt(self.model)
        self.work = Work.of(self.model)
        self.language = LanguageModel(self.model).train()
        if adapt is None:
            self.language.requires_grad_(True)
        for part in self.model.model.children():
            if part is not self.language.language_model:
                part.to(device)
        self.own_attention: str = self.language.language_model.config._attn_implementation
        self.vision = Vision(self.model, self.family, self.processor, device)

    def enable_gradient_checkpointing(self) -> None:
        """Keep only each layer's input for the backward pass."""
        self.language.language_model.gradient_checkpointing_enable(
            gradient_checkpointing_kwargs={"use_reentrant": False}
        )

    def use_packed_attention(self, packed: bool) -> None:
        """Choose between attention within the rows of a pack, and the model's own, for one row."""
        name = PACKED if packed else self.own_attention
        self.language.language_model.set_attn_implementation(name)

    def batch(self, plan: Plan, numbers: Sequence[int]) -> Batch:
        """Rows of the plan as one micro-batch."""
        rows = [plan.row(number) for number in numbers]
        images = [self.vision.features(plan, row.images) if row.images else None for row in rows]
        return make_batch(self.family, self.model, rows, images, self.device)

    def batches(
        self,
        plan: Plan,
        micro_batches: Sequence[Sequence[int]],
        following: Sequence[Sequence[int]] = (),
    ) -> Iterator[Batch]:
        """Micro-batches, one after the other.

        Images of the next ones are read while the device computes.

        Args:
            plan: where the rows come from.
            micro_batches: row numbers of each.
            following: those that will be asked for after these.
        """
        coming = [*micro_batches, *following]
        for index, numbers in enumerate(micro_batches):
            batch = self.batch(plan, numbers)
            # Only now: reading beside the vision tower's many small operations would slow them.
            for ahead in coming[index + 1 : index + 1 + READ_AHEAD]:
                self.vision.expect(plan, ahead)
            yield batch


def make_batch(
    family: Family,
    model: Any,
    rows: Sequence[Row],
    images: Sequence[ImageFeatures | None],
    device: torch.device,
) -> Batch:
    """Pack rows.

    Args:
        family: of the model.
        model: the whole model.
        rows: one or more.
        images: features of each row's images; None: it has none.
        device: where the tensors go.

    Raises:
        EngineError: a row's placeholders are not as many as its images' features.
    """
    ids, positions, source, target = [], [], [], []
    start = 0
    for row, features in zip(rows, images, strict=True):
        check_features(row, features, model.config.image_token_id)
        prompt, response = torch.tensor(row.prompt_ids), torch.tensor(row.response_ids).long()
        ids_L = torch.cat([prompt, response])[:-1].to(device)
        ids.append(ids_L)
        grid = None if features is None else features.grid_I3
        positions.append(family.position_ids(model, ids_L, grid))
        # Token l is predicted at position l - 1: the first one by the prompt's last token.
        source.append(torch.arange(len(prompt) - 1, len(ids_L)) + start)
        target.append(response)
        start += len(ids_L)
    return Batch(
        input_ids_L=torch.cat(ids),
        position_ids=torch.cat(positions, dim=-1).unsqueeze(-2),
        segments=Segments.of(tuple(map(len, ids)), device),
        images=join_features([each for each in images if each is not None]),
        source_T=torch.cat(source).to(device),
        target_T=torch.cat(target).to(device),
    )


def check_features(row: Row, features: ImageFeatures | None, image_token_id: int) -> None:
    """Refuse a row into which its images' features would not fit.

    Raises:
        EngineError: they are more or fewer than its placeholders.
    """
    placeholders = int((row.prompt_ids == image_token_id).sum())
    found = 0 if features is None else len(features.embeddings_NH)
    if placeholders != found:
        raise EngineError(
            f"A row has {placeholders} image placeholders, but its images make {found} features.",
            "The policy's processor and its weights do not belong together.",
        )
