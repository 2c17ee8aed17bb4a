"""A rollout's thinking: what a judge is shown of it, and nothing of the answer that follows."""

import re
from collections.abc import Mapping
from typing import Any

from data.records import Sample, schema

ROLLOUT_COLUMNS = (
    *("sample_id", "caption_index", "rollout_index"),
    *("text", "prefill", "finish_reason", "error"),
)
"""What a judge needs of a rollout."""
THINKING = re.compile(r"<think>(.*?)(?:</think>|\Z)", re.DOTALL)


def sample_columns(*, with_images: bool) -> list[str]:
    """What a judge needs of a sample; images are most of what a shard weighs."""
    return [name for name in schema(Sample).names if with_images or name != "images"]


def thinking_of(rollout: Mapping[str, Any]) -> str | None:
    """What a rollout thinks before it answers; None where it doesn't."""
    found = THINKING.search((rollout["prefill"] or "") + (rollout["text"] or ""))
    return found[1].strip() or None if found else None
