"""A rollout's thinking: what a judge is shown of it, and nothing of the answer that follows."""

import re
from collections.abc import Mapping
from typing import Any

from data.records import Sample, schema
from stages.verifiers.responses.extract import CLOSED, OPENED

ROLLOUT_COLUMNS = (
    *("sample_id", "caption_index", "rollout_index"),
    *("text", "prefill", "finish_reason", "error"),
)
"""What a judge needs of a rollout."""
MARK = re.compile(
    f"(?P<opened>{'|'.join(map(re.escape, OPENED))})|(?:{'|'.join(map(re.escape, CLOSED))})"
)


def sample_columns(*, with_images: bool) -> list[str]:
    """What a judge needs of a sample; images are most of what a shard weighs."""
    return [name for name in schema(Sample).names if with_images or name != "images"]


def thinking_of(rollout: Mapping[str, Any]) -> str | None:
    """What a rollout thinks before it answers; None where it doesn't.

    It ends with the first closing mark, or never. Where none opens it before, as when the mark
    stood in the prompt, it begins with the text.
    """
    text = (rollout["prefill"] or "") + (rollout["text"] or "")
    first = MARK.search(text)
    if first is None:
        return None
    begin = first.end() if first["opened"] else 0
    end = next((mark.start() for mark in MARK.finditer(text, begin) if not mark["opened"]), None)
    return text[begin:end].strip() or None
