"""Answers that deny or are empty, `not parallel`, `N/A`: some where the gold answer is one too."""

import re
from collections.abc import Sequence

from stages.verifiers.kinds.text import normalize
from stages.verifiers.responses.letters import HEDGED

DENIED = re.compile(r"^\W*(?:\([A-J]\)|[A-J][.:)])?\W*(?:not\b|isn't|≠|不是|n't)", re.IGNORECASE)
EMPTY = re.compile(
    r"[\s?？.$*_\-…]*|\\(?:cdots|ldots|dots)|(?:your |the )?answer(?: here)?|n/?a|none given",
    re.IGNORECASE,
)
SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
REASON = re.compile(
    r"\s*(?:to \w|because\b|since\b|for this\b|here\b|from the\b|in this\b|[,.;]|$)"
)
TURNED = re.compile(
    r"\b(?:not|n't|never|no|false|wrong|incorrect|if|whether|maybe|may|might|could|or|than|unless)\b"
    r"|n't\b|[不非]|可能|或",
    re.IGNORECASE,
)
"""In front of a denial it makes something else of it, or leaves it open."""
MARKED = re.compile(r"[(（]?([A-J])[)）.:：、]\W*$")
LONGEST = 300


def denies(text: str) -> bool:
    """Whether a text says only what something is not, or nothing, or that it can't be told."""
    plain = text.strip()
    return bool(DENIED.match(plain) or EMPTY.fullmatch(plain) or HEDGED.search(plain))


def denial_in(tail: str, accepted: Sequence[str]) -> str | None:
    """Of texts that deny, the one that a response ends with; None where it ends with none.

    Args:
        tail: what follows the thinking.
        accepted: the gold answer and the options, as far as they deny.
    """
    sentences = [part for part in SENTENCE.split(tail) if part.strip(" \n*_$`")]
    if not sentences or len(sentences[-1]) > LONGEST:
        return None
    plain = normalize(sentences[-1])
    for text in sorted(accepted, key=len, reverse=True):
        wanted = normalize(text)
        at = plain.rfind(wanted) if len(wanted) > 2 else -1
        if at < 0 or not REASON.match(plain, at + len(wanted)) or TURNED.search(plain[:at]):
            continue
        letter = MARKED.search(plain[:at].upper())
        return f"{letter[1]}. {text}" if letter else text
    return None
