"""The shapes of the two tiny models: configurations, tokenizers and the policy's processor.

The policy is an InternVL of about two million parameters that sees one 84x84 tile as nine image
tokens, one for each cell. The reasoner is a smaller Llama with another vocabulary. Attention heads
have 32 dimensions, the least that every engine supports.
"""

from collections.abc import Iterable

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from data.world.scenes import COLORS, FORMS, IMAGE_SIZE

PAD, START_TURN, END_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
IMAGE_TOKENS = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
THINK_TAGS = ("<think>", "</think>")

PATCH_SIZE = 14
NUM_IMAGE_TOKENS = (IMAGE_SIZE // PATCH_SIZE // 2) ** 2
MAX_TOKENS = 1024

WORDS = (
    rf" ?(?:{'|'.join(COLORS)}) (?:{'|'.join(FORMS)})\b(?!s)"  # a shape is one thing to copy
    r"| ?[a-c][1-3]\b"  # so is the name of a cell
    r"| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+"
)
"""What tokens never cross: shapes, cells, then words, digits, signs and white space."""

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<IMG_CONTEXT>\\n' }}"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{{ '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML, with images where they stand in the message."""


def make_tokenizer(
    corpus: Iterable[str], vocab_size: int, *, multimodal: bool
) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer in which the words of the world are single tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    image_tokens = IMAGE_TOKENS if multimodal else {}
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, START_TURN, END_TURN, *image_tokens.values()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END_TURN,
        padding_side="left",
        model_max_length=MAX_TOKENS,
        clean_up_tokenization_spaces=False,
        extra_special_tokens=image_tokens,
    )
    # Not special: thinking has to survive decoding with special tokens skipped.
    fast.add_tokens(list(THINK_TAGS))
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_processor(tokenizer: PreTrainedTokenizerFast) -> InternVLProcessor:
    """The policy's processor: one tile for each picture, never a mosaic."""
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    return InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(
            size=size, crop_to_patches=False, min_patches=1, max_patches=1
        ),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(size=size),
        image_seq_length=NUM_IMAGE_TOKENS,
        chat_template=CHAT_TEMPLATE,
    )


def make_policy(tokenizer: PreTrainedTokenizerFast) -> InternVLForConditionalGeneration:
    """An untrained policy."""
    config = InternVLConfig(
        vision_config={
            "hidden_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "intermediate_size": 384,
            "image_size": [IMAGE_SIZE, IMAGE_SIZE],
            "patch_size": [PATCH_SIZE, PATCH_SIZE],
            "layer_scale_init_value": 1.0,
        },
        text_config=Qwen2Config(
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=6,
            num_key_value_heads=2,
            **_vocabulary(tokenizer),
        ).to_dict(),
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKENS["context_image_token"]),
        image_seq_length=NUM_IMAGE_TOKENS,
        downsample_ratio=0.5,
    )
    return InternVLForConditionalGeneration(config).to(torch.float32)


def make_reasoner(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """An untrained reasoner."""
    config = LlamaConfig(
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        **_vocabulary(tokenizer),
    )
    return LlamaForCausalLM(config).to(torch.float32)


def _vocabulary(tokenizer: PreTrainedTokenizerFast) -> dict[str, int | bool | None]:
    return {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": MAX_TOKENS,
        "tie_word_embeddings": True,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
    }
