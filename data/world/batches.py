"""Training batches for the tiny models: pictures as tensors, examples as padded token ids."""

import io
from collections.abc import Sequence

import torch
from PIL import Image
from transformers import InternVLProcessor, PreTrainedTokenizerFast

from data.world import scene_seed
from data.world.curriculum import Example
from data.world.scenes import Scene, make_scene, render
from data.world.tiny_models import IMAGE_TOKENS, NUM_IMAGE_TOKENS

IGNORED_LABEL = -100
PICTURES_AT_ONCE = 256

CONTEXT_TOKEN = IMAGE_TOKENS["context_image_token"]
PICTURE_PLACE = (
    IMAGE_TOKENS["start_image_token"]
    + CONTEXT_TOKEN * NUM_IMAGE_TOKENS
    + IMAGE_TOKENS["end_image_token"]
)


class Pictures:
    """Scenes for pre-training, rendered once and kept as the policy's processor makes them."""

    def __init__(self, processor: InternVLProcessor, num_scenes: int) -> None:
        """Render the first `num_scenes` scenes that are set aside for pre-training."""
        self.scenes = [make_scene(scene_seed("pretrain", 0, index)) for index in range(num_scenes)]
        self._index = {scene.seed: index for index, scene in enumerate(self.scenes)}
        self._pixels = torch.cat(
            [
                _pixels(processor, self.scenes[start : start + PICTURES_AT_ONCE])
                for start in range(0, num_scenes, PICTURES_AT_ONCE)
            ]
        )

    def __getitem__(self, scenes: Sequence[Scene]) -> torch.Tensor:
        """The pixel values of some scenes, stacked."""
        return self._pixels[[self._index[scene.seed] for scene in scenes]].float()


def collate(
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    pictures: Pictures | None = None,
) -> dict[str, torch.Tensor]:
    """Inputs and labels, padded on the right; the loss is on responses alone.

    With `pictures`, every example shows the one of its scene.
    """
    rows = [_encode(tokenizer, example) for example in examples]
    length = max(len(prompt) + len(response) for prompt, response in rows)
    pad = tokenizer.convert_tokens_to_ids(tokenizer.pad_token)
    input_ids = torch.full((len(rows), length), pad)
    labels = torch.full((len(rows), length), IGNORED_LABEL)
    for index, (prompt, response) in enumerate(rows):
        end = len(prompt) + len(response)
        input_ids[index, :end] = torch.tensor(prompt + response)
        labels[index, len(prompt) : end] = torch.tensor(response)
    batch = {
        "input_ids": input_ids,
        "attention_mask": (input_ids != pad).long(),
        "labels": labels,
    }
    if pictures is not None:
        scenes = [example.scene for example in examples if example.scene is not None]
        batch["pixel_values"] = pictures[scenes]
    return batch


def _encode(tokenizer: PreTrainedTokenizerFast, example: Example) -> tuple[list[int], list[int]]:
    prompt = tokenizer.apply_chat_template(
        example.messages, tokenize=False, add_generation_prompt=True
    )
    prompt = prompt.replace(CONTEXT_TOKEN, PICTURE_PLACE)
    response = example.response + str(tokenizer.eos_token)
    return tokenizer(prompt)["input_ids"], tokenizer(response)["input_ids"]


def _pixels(processor: InternVLProcessor, scenes: Sequence[Scene]) -> torch.Tensor:
    images = [Image.open(io.BytesIO(render(scene))) for scene in scenes]
    pixels: torch.Tensor = processor.image_processor(images, return_tensors="pt")["pixel_values"]
    # Half precision halves the memory of the pool and is finer than the pictures' 8 bits.
    return pixels.half()
