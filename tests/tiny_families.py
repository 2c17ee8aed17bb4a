"""An untrained model of every family that trains, with its own processor, as on the hub."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from tests.tiny_models import CONTEXT_LENGTH, IMAGE_TEMPLATE, make_tokenizer, save_policy

HIDDEN_SIZE = 64
QWEN_TOKENS = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}
QWEN2_5_TEXT: dict[str, Any] = {
    "rope_parameters": {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 10_000.0}
}
QWEN3_TEXT: dict[str, Any] = {
    "head_dim": 32,
    "rope_parameters": {
        "rope_type": "default",
        "mrope_interleaved": True,
        "mrope_section": [6, 5, 5],
        "rope_theta": 10_000.0,
    },
}


def text_config(tokenizer: PreTrainedTokenizerFast, **changes: Any) -> dict[str, Any]:
    """A language model of two layers, sharp enough that greedy tokens are no matter of rounding."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": HIDDEN_SIZE,
        "intermediate_size": HIDDEN_SIZE,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": CONTEXT_LENGTH,
        "initializer_range": 0.15,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        **changes,
    }


def save_llava(folder: Path) -> None:
    """CLIP and Llama; a picture of 28 x 28 pixels is four tokens."""
    tokenizer = make_tokenizer(multimodal=True, image_tokens={"image_token": "<image>"})
    size = {"height": 28, "width": 28}
    template = IMAGE_TEMPLATE.replace("<IMG_CONTEXT>", "<image>")
    LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 28}, crop_size=size),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=template,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    vision = CLIPVisionConfig(
        hidden_size=HIDDEN_SIZE,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=HIDDEN_SIZE,
        image_size=28,
        patch_size=14,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=LlamaConfig(**text_config(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        tie_word_embeddings=False,
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    # As LLaVA's checkpoints on the hub call them, and vLLM wants them.
    path, prefix = folder / "model.safetensors", "vision_tower."
    save_file(
        {
            f"{prefix}vision_model.{name.removeprefix(prefix)}"
            if name.startswith(prefix)
            else name: tensor
            for name, tensor in load_file(path).items()
        },
        path,
        metadata={"format": "pt"},
    )


def save_qwen(
    folder: Path,
    kinds: tuple[Any, Any, Any, Any],
    patch: int,
    text: dict[str, Any],
    vision: dict[str, Any],
) -> None:
    """Images of any size; a square of two by two patches is a token.

    Args:
        folder: where it goes.
        kinds: classes of configuration, model, processor and video processor.
        patch: side of a patch in pixels.
        text: what the language model has beyond the sizes that all have.
        vision: the same of the vision tower.
    """
    config_type, model_type, processor_type, video_type = kinds
    tokenizer = make_tokenizer(multimodal=True, image_tokens=QWEN_TOKENS)
    size = {"shortest_edge": (2 * patch) ** 2, "longest_edge": (8 * patch) ** 2}
    template = IMAGE_TEMPLATE.replace(
        "<IMG_CONTEXT>", "<|vision_start|><|image_pad|><|vision_end|>"
    )
    processor_type(
        image_processor=Qwen2VLImageProcessor(size=size, patch_size=patch),
        tokenizer=tokenizer,
        video_processor=video_type(size=size, patch_size=patch),
        chat_template=template,
    ).save_pretrained(folder)
    ids = {
        f"{name}_id": tokenizer.convert_tokens_to_ids(word) for name, word in QWEN_TOKENS.items()
    }
    config = config_type(
        text_config=text_config(tokenizer, **text),
        vision_config={
            "depth": 2,
            "hidden_size": HIDDEN_SIZE,
            "num_heads": 2,
            "intermediate_size": HIDDEN_SIZE,
            "out_hidden_size": HIDDEN_SIZE,
            "patch_size": patch,
            **vision,
        },
        tie_word_embeddings=False,
        **ids,
    )
    model_type(config).save_pretrained(folder)


def save_qwen2_5_vl(folder: Path) -> None:
    """Window attention in the first layer of its vision tower, full attention in the second."""
    kinds = (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLVideoProcessor,
    )
    save_qwen(folder, kinds, 14, QWEN2_5_TEXT, {"fullatt_block_indexes": [1]})


def save_qwen3_vl(folder: Path) -> None:
    """Features of the vision tower's first layer go into the language model's, too."""
    kinds = (
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )
    vision = {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
    save_qwen(folder, kinds, 16, QWEN3_TEXT, vision)


SAVERS: dict[str, Callable[[Path], None]] = {
    "internvl": save_policy,
    "llava": save_llava,
    "qwen2_5_vl": save_qwen2_5_vl,
    "qwen3_vl": save_qwen3_vl,
}


def save(family: str, folder: Path) -> None:
    """Write a family's model."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    SAVERS[family](folder)
