r"""Responses with a box for each numbered part: `(1) AB is \boxed{5}. (2) It is \boxed{6}`."""

import re

from stages.verifiers.responses.boxes import BOX, MOST_BOXES, Box, box_content

MARK = re.compile(r"[(（]\s*(\d|[a-h]|i{1,3}|iv)\s*[)）]")
RUNS = ("123456789", "abcdefgh", ("i", "ii", "iii", "iv"))
MOST_PARTS = 6


def boxed_parts(text: str, question: str) -> Box | None:
    """The boxes of all parts that a question has, in order; None: some have none, or others do.

    Args:
        text: what follows the thinking.
        question: what was asked, with its parts as `(1)` or `(a)`.
    """
    labels = _labels(question)
    starts = list(BOX.finditer(text)) if labels else []
    if not 1 < len(starts) == len(labels) <= MOST_BOXES:
        return None
    parts: list[str] = []
    end = 0
    for start, label in zip(starts, labels, strict=True):
        mark = next((one for one in MARK.finditer(text, end, start.start())), None)
        box = box_content(text, start)
        if mark is None or mark[1] != label or box is None or not box[1].strip():
            return None
        end = box[0]
        parts.append(f"({label}) {box[1].strip()}")
    return Box("; ".join(parts), end)


def _labels(question: str) -> tuple[str, ...]:
    """The labels of a question's parts, two or more in a row from the first; else none."""
    found = tuple(dict.fromkeys(MARK.findall(question)))
    for run in RUNS:
        if 1 < len(found) <= MOST_PARTS and found == tuple(run[: len(found)]):
            return found
    return ()
