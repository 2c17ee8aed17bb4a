"""Whether the same words in another order still say the same: `red and blue`, `blue and red`."""

import re
from collections.abc import Sequence

LIST = re.compile(r"\s*(?:[,;/&+、，；]|\band\b|[和与及])\s*")
TELLING = re.compile(
    r"\b(?:than|then|to|from|into|onto|before|after|above|below|under|over|of|by|per|in|on|behind"
    r"|when|if|while|until|next|left|right(?! (?:\w+ )?triangle)|first|last|not|is|are|was|were"
    r"|has|have|does?|becomes?|equals?|and|or|but)\b|\d|\b[a-z]\b"
    r"|[先后再从到由至比在把被的是向对除以减变前左右上下]"
)
"""What makes it matter which word comes first: `A is taller than B`, `rises then falls`."""
HAN_HEAD = 2
"""Characters of a noun, which stays where it is when what describes it changes places."""


def same_in_order(left: str, right: str, ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether two texts of the same words say the same.

    They do where both list the same things, or where what describes a noun changed places:
    `isosceles right triangle`, `right isosceles triangle`.

    Args:
        left: one text, normalized.
        right: the other.
        ours: the stems of the words of the one.
        theirs: the same stems, in the order of the other.
    """
    if list(ours) == list(theirs):
        return len(ours) > 1 or left[:3] == right[:3]
    parts = [sorted(part for part in LIST.split(text) if part) for text in (left, right)]
    if len(parts[0]) > 1 and parts[0] == parts[1]:
        return not any(TELLING.search(part) for part in parts[0] if " " in part)
    if TELLING.search(left) or TELLING.search(right):
        return False
    if left.isascii():
        return ours[-1] == theirs[-1]
    return left[-HAN_HEAD:] == right[-HAN_HEAD:] and _is_swapped(left, right)


def _is_swapped(left: str, right: str) -> bool:
    """Whether two stretches of two characters or more have changed places, and nothing else."""
    return any(
        right.startswith(left[middle:end] + left[:middle]) and right[end:] == left[end:]
        for end in range(2 * HAN_HEAD, len(left))
        for middle in range(HAN_HEAD, end - HAN_HEAD + 1)
    )
