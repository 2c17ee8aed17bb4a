"""Policies of real shapes with random weights, and plans of synthetic rows to train them on."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import InternVLForConditionalGeneration

from stages.training.config import Config
from stages.training.plan import Plan
from stages.training.planning import make_plan
from stages.training.render import Example, Renderer
from tests import tiny_models

SYSTEM = "Think step by step."


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A model's sizes."""

    text: dict[str, Any]
    vision: dict[str, Any]
    vocabulary: int

    @property
    def image_size(self) -> int:
        """Side of an image in pixels."""
        return int(self.vision["image_size"][0])

    @property
    def image_tokens(self) -> int:
        """Tokens of one image: a quarter of its patches."""
        return int((self.image_size // self.vision["patch_size"][0]) ** 2 // 4)


SHAPES = {
    # OpenGVLab/InternVL3-2B: InternViT-300M and Qwen2.5-1.5B, the head of its own.
    "internvl3-2b": Shape(
        text={
            "hidden_size": 1536,
            "intermediate_size": 8960,
            "num_hidden_layers": 28,
            "num_attention_heads": 12,
            "num_key_value_heads": 2,
        },
        vision={
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "image_size": [448, 448],
            "patch_size": [14, 14],
        },
        vocabulary=151_674,
    ),
    "tiny": Shape(
        text={
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
        },
        vision={
            "hidden_size": 64,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": [56, 56],
            "patch_size": [14, 14],
        },
        vocabulary=1000,
    ),
}


def save_policy(folder: Path, shape: Shape, longest: int, device: torch.device) -> None:
    """Write a policy with random weights in bfloat16; a byte of text is a token."""
    torch.manual_seed(0)
    tokenizer = tiny_models.make_tokenizer(multimodal=True)
    tiny_models.save_internvl_processor(folder, tokenizer, shape.image_size, shape.image_tokens)
    text = {
        "model_type": "qwen2",
        **shape.text,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": longest,
        "tie_word_embeddings": False,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
    }
    config = tiny_models.internvl_config(tokenizer, shape.vision, text, tie_word_embeddings=False)
    with torch.device(device):
        model = InternVLForConditionalGeneration(config).to(torch.bfloat16)
    model.save_pretrained(folder)


def picture(number: int, side: int) -> bytes:
    """Noise as a PNG."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Synthetic rows: responses of lognormal length, and a picture with every other question."""

    longest: int
    """Tokens of a row at most, prompt included."""
    tokens_per_step: int
    num_steps: int
    image_size: int
    image_tokens: int
    sigma: float = 0.8
    """Of the logarithm of lengths; their median is an eighth of the longest."""
    lengths: list[int] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.longest)
        room = self.longest - self.image_tokens - 160
        count = max(1, round(self.tokens_per_step / (self.longest / 8 * np.exp(self.sigma**2 / 2))))
        drawn = rng.lognormal(np.log(self.longest / 8), self.sigma, count * self.num_steps)
        lengths = [int(min(max(length, 16), room)) for length in drawn]
        lengths[0] = room  # so that one of them is as long as may be
        object.__setattr__(self, "lengths", lengths)

    def examples(self) -> Iterator[dict[str, Any]]:
        """Question, images and response of each row."""
        for number, length in enumerate(self.lengths):
            letters = np.random.default_rng(number).integers(97, 123, length, dtype=np.uint8)
            yield {
                "question": f"How many? {number}",
                "images": [picture(number, self.image_size)] if number % 2 == 0 else [],
                "response": letters.tobytes().decode(),
            }

    def plan(self, folder: Path, policy: Path) -> Plan:
        """Plan the steps."""
        plan = make_plan(
            folder,
            "synthetic",
            (
                Example(
                    sample={
                        "question": row["question"],
                        "images": [{"bytes": image, "path": None} for image in row["images"]],
                    },
                    response=row["response"],
                )
                for row in self.examples()
            ),
            partial(Renderer, policy, self.longest, SYSTEM),
            Config(batch_size=len(self.lengths) // self.num_steps, objective="sft"),
            seed=0,
            should_stop=lambda: False,
        )
        assert plan is not None
        assert not plan.rejected, json.dumps(plan.rejected)
        return plan
