"""Tokens of a policy that are no words: they end turns, stand for images, or steer."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

CONTENT = frozenset(
    text
    for begin, end in [
        *((f"<{word}>", f"</{word}>") for word in ("think", "answer", "ref", "box", "quad")),
        *((f"<|{word}_start|>", f"<|{word}_end|>") for word in ("object_ref", "box", "quad")),
    ]
    for text in (begin, end)
)
"""Special tokens, in some tokenizers, that belong into a response: of thinking, and of pointing at
a part of an image."""


def end_of_turn(processor: Any, stops: frozenset[int]) -> int:
    """The token that ends an assistant's turn.

    It is the one that the chat template writes behind an answer, if generation stops at it, else
    the tokenizer's end of sequence.

    Args:
        processor: the policy's.
        stops: the tokens at which generation stops.
    """
    answer = "0123456789"
    messages = [
        {"role": role, "content": [{"type": "text", "text": text}]}
        for role, text in (("user", "?"), ("assistant", answer))
    ]
    text: str = processor.apply_chat_template(messages, tokenize=False)
    tail = text.rpartition(answer)[2].lstrip()
    written = processor.tokenizer(tail, add_special_tokens=False)["input_ids"][:1]
    return int(written[0] if stops.intersection(written) else processor.tokenizer.eos_token_id)


def control_ids(tokenizer: Any) -> frozenset[int]:
    """The special tokens that no text of a response may spell, such as those that begin a turn."""
    added = tokenizer.added_tokens_decoder.items()
    return frozenset(
        int(token) for token, entry in added if entry.special and entry.content not in CONTENT
    )


def placeholder_ids(processor: Any, folder: Path) -> set[int]:
    """The tokens that stand for images and videos, or mark their borders."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    ids = {config.get(name) for name in names}
    ids.update(processor.image_token_ids, processor.video_token_ids)
    return {int(token) for token in ids if token is not None}


def placeholder_texts(processor: Any, ids: Iterable[int]) -> list[str]:
    """How text says what `placeholder_ids` names, and what the processor alone expands."""
    tokens = processor.tokenizer.convert_ids_to_tokens(sorted(ids))
    texts = {*tokens, processor.image_token, getattr(processor, "video_token", None)}
    return sorted(text for text in texts if text)
