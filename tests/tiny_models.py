"""Untrained models of a few thousand parameters, saved as any Hugging Face model is."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

CONTEXT_LENGTH = 256
JUDGE_CONTEXT_LENGTH = 1024
MOST_STEPS = 1000
LEARNED = 0.002
"""Loss at which a judge knows its lessons."""
IMAGE_SIZE = 28
IMAGE_TOKENS = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
TEXT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)
"""Takes plain strings only and opens the answer with <think>."""
IMAGE_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'tool' %}{{ raise_exception('No tools here.') }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<IMG_CONTEXT>\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def make_tokenizer(
    *, multimodal: bool, image_tokens: dict[str, str] | None = None
) -> PreTrainedTokenizerFast:
    """Bytes, and the special tokens of ChatML and of images; InternVL's are the default."""
    special = (image_tokens or IMAGE_TOKENS) if multimodal else {}
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>", *special.values()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        extra_special_tokens=special,
    )
    fast.add_tokens(["<think>", "</think>"])
    fast.chat_template = IMAGE_TEMPLATE if multimodal else TEXT_TEMPLATE
    return fast


def language_config(
    tokenizer: PreTrainedTokenizerFast, context_length: int = CONTEXT_LENGTH
) -> Qwen2Config:
    """One layer, sharp enough that the likeliest token is no matter of rounding."""
    return Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=context_length,
        initializer_range=0.15,
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )


def save_reasoner(folder: Path) -> None:
    """A language model that sees no images."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer(multimodal=False)
    tokenizer.save_pretrained(folder)
    Qwen2ForCausalLM(language_config(tokenizer)).save_pretrained(folder)


def save_judge(folder: Path, lessons: Sequence[tuple[str, str]]) -> None:
    """A language model that learns by heart what to reply to a few prompts, in seconds.

    Its template opens the reply with `<think>`, so a reply has to close it.
    """
    torch.manual_seed(0)
    tokenizer = make_tokenizer(multimodal=False)
    config = language_config(tokenizer, JUDGE_CONTEXT_LENGTH)
    config.initializer_range = 0.02
    model = Qwen2ForCausalLM(config)
    inputs = _lessons(tokenizer, lessons)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    loss = torch.tensor(math.inf)
    for _ in range(MOST_STEPS):
        if loss < LEARNED:
            break
        loss = model(**inputs).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert loss < LEARNED, loss
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def _lessons(
    tokenizer: PreTrainedTokenizerFast, lessons: Sequence[tuple[str, str]]
) -> dict[str, torch.Tensor]:
    """Prompts with replies as one padded batch, of which the replies count."""
    rows = []
    for prompt, reply in lessons:
        message = [{"role": "user", "content": prompt}]
        asked = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        prefix, told = (tokenizer.encode(text) for text in (asked, f"{reply}<|im_end|>"))
        rows.append((len(prefix), torch.tensor(prefix + told)))
    input_ids = pad_sequence([ids for _, ids in rows], True, tokenizer.pad_token_id)
    position = torch.arange(input_ids.shape[1])
    mask = torch.stack([position < len(ids) for _, ids in rows])
    counts = mask & torch.stack([position >= start for start, _ in rows])
    labels = torch.where(counts, input_ids, -100)
    return {"input_ids": input_ids, "attention_mask": mask.long(), "labels": labels}


def save_policy(folder: Path, context_length: int = CONTEXT_LENGTH) -> None:
    """A vision-language model; a picture is four tokens."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer(multimodal=True)
    vision = {
        "hidden_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "image_size": [IMAGE_SIZE, IMAGE_SIZE],
        "patch_size": [7, 7],
        "layer_scale_init_value": 1.0,
    }
    text = language_config(tokenizer, context_length).to_dict()
    config = internvl_config(tokenizer, vision, text)
    save_internvl_processor(folder, tokenizer, IMAGE_SIZE, config.image_seq_length)
    InternVLForConditionalGeneration(config).save_pretrained(folder)


def internvl_config(
    tokenizer: PreTrainedTokenizerFast, vision: dict[str, Any], text: dict[str, Any], **others: Any
) -> InternVLConfig:
    """A token of an image is a square of two by two patches."""
    num_patches = (vision["image_size"][0] // vision["patch_size"][0]) ** 2
    return InternVLConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKENS["context_image_token"]),
        image_seq_length=num_patches // 4,
        downsample_ratio=0.5,
        **others,
    )


def save_internvl_processor(
    folder: Path, tokenizer: PreTrainedTokenizerFast, image_size: int, image_tokens: int
) -> None:
    """An image is one square of so many pixels a side."""
    size = {"height": image_size, "width": image_size}
    InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=size, crop_to_patches=False, max_patches=1),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(size=size),
        image_seq_length=image_tokens,
        chat_template=IMAGE_TEMPLATE,
    ).save_pretrained(folder)
