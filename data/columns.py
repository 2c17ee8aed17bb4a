"""Which column of a source says what: as the user maps them, or by the names data sets use."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import ConfigError, InputError

COMMON_NAMES = {
    "question": ("question", "problem", "query", "question_text", "prompt", "instruction"),
    "image": (
        "decoded_image",
        "images",
        "image",
        "input_image",
        "image_path",
        "image_paths",
        "img_path",
        "picture",
    ),
    "answer": (
        "answer",
        "final_answer",
        "gold_answer",
        "gold",
        "ground_truth",
        "solution",
        "label",
    ),
    "choices": ("choices", "options"),
    "hint": ("hint",),
    "source": ("source", "data_source"),
    "answer_type": (),
    "difficulty": (),
    "tolerance": (),
}
"""The names data sets give to what we look for, best first.

`decoded_image` stands before `image`, which beside it holds a path that leads nowhere. Data sets
mean many things by `answer_type`, `difficulty` and `tolerance`: those are taken only where they are
mapped.
"""
NUMBERED_IMAGE = re.compile(r"(?:image|img)_?(\d+)", re.IGNORECASE)
"""A data set with a column for each image of a sample calls them `image_1`, `image_2`, ..."""

Row = Mapping[str, Any]
Columns = dict[str, list[str]]
"""What a column says -> its name; several names for images only."""


def choose_columns(columns: Sequence[str], mapping: Mapping[str, str]) -> Columns:
    """Decide what each column says: as mapped, else by common names.

    Args:
        columns: the columns there are.
        mapping: `question`, `image`, `answer`, `choices`, `hint`, `source`, `answer_type`,
            `difficulty` or `tolerance` -> the column that holds it.

    Raises:
        ConfigError: the mapping names something else than those.
        InputError: a mapped column is not there, or none can be taken for the question.
    """
    for role, column in mapping.items():
        if role not in COMMON_NAMES:
            raise ConfigError(
                f"--map knows no {role!r}.",
                f"{_nearest(role, COMMON_NAMES)}What can be mapped: {', '.join(COMMON_NAMES)}.",
            )
        if column not in columns:
            raise InputError(
                f"There is no column {column!r}.",
                f"{_nearest(column, columns)}The columns are {', '.join(columns)}.",
            )
    lower = {column.lower(): column for column in reversed(columns)}
    chosen = {
        role: [mapping[role]] if role in mapping else [lower[n] for n in names if n in lower][:1]
        for role, names in COMMON_NAMES.items()
    }
    if not chosen["question"]:
        raise InputError(
            f"None of the columns {', '.join(columns)} is known to hold the question.",
            "Name it with --map question=COLUMN.",
        )
    if not chosen["image"]:
        numbered = {int(m[1]): c for c in columns if (m := NUMBERED_IMAGE.fullmatch(c))}
        chosen["image"] = [numbered[number] for number in sorted(numbered)]
    return chosen


def _nearest(name: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"Did you mean {matches[0]!r}? " if matches else ""
