"""What the trained part computes is what the whole model computes, row by row and unpadded."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    DataCollatorWithFlattening,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2Model,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from data.errors import ConfigError, EngineError
from stages.families import FAMILIES, ImageFeatures, load_family
from stages.training.attention import PACKED, Segments
from stages.training.plan import Row
from stages.training.policy import LanguageModel, make_batch

IMAGE, START, END = 90, 91, 92
LANGUAGE = {
    "vocab_size": 100,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.2,
}


def internvl() -> tuple[Any, list[dict[str, Tensor]]]:
    config = InternVLConfig(
        vision_config={
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "image_size": [28, 28],
            "patch_size": [7, 7],
        },
        text_config={"model_type": "qwen2", **LANGUAGE},
        image_token_id=IMAGE,
        image_seq_length=4,
    )
    tiles = [torch.randn(3, 3, 28, 28), torch.randn(1, 3, 28, 28)]
    return InternVLForConditionalGeneration(config), [{"pixel_values": tile} for tile in tiles]


def llava() -> tuple[Any, list[dict[str, Tensor]]]:
    vision = CLIPVisionConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=28,
        patch_size=14,
    )
    config = LlavaConfig(
        vision_config=vision, text_config=LlamaConfig(**LANGUAGE), image_token_index=IMAGE
    )
    images = [torch.randn(2, 3, 28, 28), torch.randn(1, 3, 28, 28)]
    return LlavaForConditionalGeneration(config), [{"pixel_values": image} for image in images]


def qwen_images(patch_values: int) -> list[dict[str, Tensor]]:
    grids = [torch.tensor([[1, 4, 6], [1, 2, 2]]), torch.tensor([[1, 2, 4]])]
    return [
        {
            "pixel_values": torch.randn(int(grid.prod(-1).sum()), patch_values),
            "image_grid_thw": grid,
        }
        for grid in grids
    ]


QWEN = {
    "image_token_id": IMAGE,
    "video_token_id": 93,
    "vision_start_token_id": START,
    "vision_end_token_id": END,
}


def qwen2_5_vl() -> tuple[Any, list[dict[str, Tensor]]]:
    rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 10_000.0}
    config = Qwen2_5_VLConfig(
        text_config={**LANGUAGE, "rope_parameters": rope},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "num_heads": 2,
            "intermediate_size": 32,
            "out_hidden_size": 64,
            "fullatt_block_indexes": [1],
        },
        **QWEN,
    )
    return Qwen2_5_VLForConditionalGeneration(config), qwen_images(3 * 2 * 14 * 14)


def qwen3_vl() -> tuple[Any, list[dict[str, Tensor]]]:
    rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 10_000.0}
    config = Qwen3VLConfig(
        text_config={**LANGUAGE, "head_dim": 32, "rope_parameters": rope},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "num_heads": 2,
            "intermediate_size": 32,
            "out_hidden_size": 64,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        **QWEN,
    )
    return Qwen3VLForConditionalGeneration(config), qwen_images(3 * 2 * 16 * 16)


BUILDERS = {"internvl": internvl, "llava": llava, "qwen2_5_vl": qwen2_5_vl, "qwen3_vl": qwen3_vl}


def make_row(num_image_tokens: list[int], prompt_length: int, response_length: int) -> Row:
    """Each image between markers, then text; then the response."""
    images = [token for count in num_image_tokens for token in [START, *[IMAGE] * count, END]]
    text = np.random.default_rng(prompt_length).integers(0, 90, prompt_length + response_length)
    ids = np.array([*images, *text], dtype=np.int32)
    cut = len(images) + prompt_length
    return Row(prompt_ids=ids[:cut], response_ids=ids[cut:], reward=1.0, images=())


def image_token_counts(name: str, pixels: dict[str, Tensor]) -> list[int]:
    if "image_grid_thw" in pixels:
        return [int(grid.prod()) // 4 for grid in pixels["image_grid_thw"]]
    return [4] * len(pixels["pixel_values"])


def whole_model(model: Any, row: Row, pixels: dict[str, Tensor] | None) -> Tensor:
    """Log-probabilities of a row's response under the model's own forward pass."""
    ids = torch.from_numpy(np.concatenate([row.prompt_ids, row.response_ids]).astype(np.int64))[
        None
    ]
    extra: dict[str, Any] = dict(pixels or {})
    if "qwen" in model.config.model_type:
        extra["mm_token_type_ids"] = (ids == IMAGE).int()
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), **extra).logits[0]
    logprobs = logits.float().log_softmax(-1)[:-1].gather(-1, ids[0, 1:, None])[:, 0]
    return logprobs[len(row.prompt_ids) - 1 :]


@dataclass
class Case:
    """A model, and rows with two images, with none and with one."""

    model: Any
    rows: list[Row]
    pixels: list[dict[str, Tensor] | None]

    @classmethod
    def of(cls, name: str) -> Self:
        torch.manual_seed(1)
        model, (two, one) = BUILDERS[name]()
        rows = [
            make_row(image_token_counts(name, two), 5, 9),
            make_row([], 3, 4),
            make_row(image_token_counts(name, one), 4, 17),
        ]
        return cls(model.eval(), rows, [two, None, one])

    def logprobs(self, *, packed: bool) -> list[Tensor]:
        """Of each row, in one pack or one by one under the model's own attention."""
        language = LanguageModel(self.model)
        family = load_family(self.model.config.model_type)
        own = language.language_model.config._attn_implementation
        with torch.no_grad():
            images = [
                family.image_features(self.model, each) if each else None for each in self.pixels
            ]
        batch = partial(make_batch, family, self.model, device=torch.device("cpu"))
        if not packed:
            return [
                language(batch([row], [image]))
                for row, image in zip(self.rows, images, strict=True)
            ]
        language.language_model.set_attn_implementation(PACKED)
        logprob_T = language(batch(self.rows, images))
        language.language_model.set_attn_implementation(own)
        return list(logprob_T.split([len(row.response_ids) for row in self.rows]))

    def gradients(self, *, packed: bool) -> dict[str, Tensor]:
        """Of the summed log-probabilities, each row's weighted by another number."""
        self.model.zero_grad()
        rows = self.logprobs(packed=packed)
        torch.stack([row.sum() * (index + 1) for index, row in enumerate(rows)]).sum().backward()
        named = LanguageModel(self.model).named_parameters()
        return {name: weights.grad.clone() for name, weights in named}


@pytest.mark.parametrize("name", BUILDERS)
def test_a_pack_gives_the_logprobs_of_the_whole_model(name: str) -> None:
    case = Case.of(name)
    with torch.no_grad():
        whole = list(map(partial(whole_model, case.model), case.rows, case.pixels))
        for ours in (case.logprobs(packed=True), case.logprobs(packed=False)):
            torch.testing.assert_close(ours, whole, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_pack_gives_the_gradient_of_its_rows_alone(name: str) -> None:
    case = Case.of(name)
    alone, packed = case.gradients(packed=False), case.gradients(packed=True)
    norm = torch.stack([gradient.norm() for gradient in alone.values()]).norm().item()
    assert norm > 1
    assert packed.keys() == alone.keys()
    for key, gradient in packed.items():
        torch.testing.assert_close(gradient, alone[key], atol=1e-6 * norm, rtol=1e-5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", BUILDERS)
def test_a_row_does_not_see_its_neighbours(name: str, training: bool) -> None:
    """Bit by bit, and with whatever cache the model's configuration asks for."""
    case = Case.of(name)
    case.model.model.language_model.train(training)
    assert case.model.config.get_text_config().use_cache
    with torch.no_grad():
        before = case.logprobs(packed=True)
        case.rows[0].response_ids[:] = 7
        case.pixels[0] = {
            key: each.flip(-1) if each.is_floating_point() else each
            for key, each in case.pixels[0].items()
        }
        after = case.logprobs(packed=True)
    assert not torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])
    assert torch.equal(before[2], after[2])


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl"])
def test_what_generation_left_on_the_model_does_not_matter(name: str) -> None:
    """Qwen keeps how far positions lie behind tokens, of the images it saw last."""
    case = Case.of(name)
    with torch.no_grad():
        before = case.logprobs(packed=True)
        case.model.model.rope_deltas = torch.tensor([[-17]])
        after = case.logprobs(packed=True)
    assert all(map(torch.equal, before, after))


def test_a_pack_of_text_is_what_transformers_makes_of_it() -> None:
    """Its collator labels each token of a row but the first, at the place of the token itself."""
    rows = [make_row([], prompt, response) for prompt, response in ((3, 4), (1, 6), (5, 1))]
    batch = make_batch(
        load_family("internvl"), internvl()[0], rows, [None] * 3, torch.device("cpu")
    )
    features = []
    for row in rows:
        ids = [*row.prompt_ids.tolist(), *row.response_ids.tolist()]
        labels = [-100] * len(row.prompt_ids) + row.response_ids.tolist()
        features.append({"input_ids": ids, "labels": labels})
    theirs = DataCollatorWithFlattening(return_flash_attn_kwargs=True)(features)
    ids, labels, positions = (
        torch.as_tensor(theirs[name])[0] for name in ("input_ids", "labels", "position_ids")
    )
    # A row's last token predicts nothing: it is not in our packs.
    last = torch.cat([positions[1:] == 0, torch.tensor([True])])
    assert batch.input_ids_L.tolist() == ids[~last].tolist()
    assert batch.position_ids[0].tolist() == positions[~last].tolist()
    ours = torch.full_like(ids, -100)[~last]
    ours[batch.source_T] = batch.target_T
    assert ours.tolist() == labels.roll(-1)[~last].tolist()
    bounds = torch.as_tensor(theirs["cu_seq_lens_q"]).tolist()
    assert batch.segments.bounds.tolist() == [end - row for row, end in enumerate(bounds)]


@pytest.mark.parametrize("placeholders", [0, 3, 5])
def test_a_row_that_its_images_do_not_fit_is_refused(placeholders: int) -> None:
    row = make_row([placeholders] if placeholders else [], 3, 2)
    features = ImageFeatures(torch.zeros(4, LANGUAGE["hidden_size"]))
    model = internvl()[0]
    with pytest.raises(EngineError, match=f"has {placeholders} image placeholders.* make 4"):
        make_batch(load_family("internvl"), model, [row], [features], torch.device("cpu"))


def test_attention_honours_sliding_windows() -> None:
    torch.manual_seed(0)
    config = Qwen2Config(**LANGUAGE, use_sliding_window=True, sliding_window=5, max_window_layers=1)
    model = Qwen2Model(config).eval()
    assert set(config.layer_types) == {"full_attention", "sliding_attention"}
    rows = [torch.randint(90, (1, length)) for length in (12, 3, 8)]
    lengths = tuple(row.shape[1] for row in rows)
    with torch.no_grad():
        alone = [model(row, use_cache=False).last_hidden_state for row in rows]
        model.set_attn_implementation(PACKED)
        packed = model(
            torch.cat(rows, 1),
            position_ids=torch.cat([torch.arange(length) for length in lengths])[None],
            use_cache=False,
            segments=Segments.of(lengths, torch.device("cpu")),
        ).last_hidden_state
    torch.testing.assert_close(packed, torch.cat(alone, 1), atol=1e-5, rtol=1e-5)


def test_every_family_is_tested() -> None:
    assert set(BUILDERS) == set(FAMILIES)


def test_unknown_family_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="internvl, llava, qwen2_5_vl"):
        load_family("gpt2")


def test_remote_code_internvl_names_the_native_format() -> None:
    with pytest.raises(ConfigError, match="-hf"):
        load_family("internvl_chat")
