"""Words without their endings, so that `increases`, `increased` and `increasing` are one word."""

import functools

ENDINGS = ("wards", "ward", "ing", "ied", "ies", "ed", "es", "s", "e")
SHORTEST = 3
"""Letters that are left at least: `red` and `sing` are no forms of other words."""
DOUBLED = frozenset("bdgmnprt")
WARDS = 2
"""Letters that are left at least of a direction: `upward` is `up`."""


@functools.lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """A word in lower case without the ending of a verb, a plural or a direction."""
    if not word.isascii() or not word.isalpha():
        return word
    for ending in ENDINGS:
        left = word.removesuffix(ending)
        shortest = WARDS if ending.startswith("ward") else SHORTEST
        if left == word or len(left) < shortest or (ending == "s" and left.endswith("s")):
            continue
        if ending in ("ing", "ed") and left[-1] == left[-2] and left[-1] in DOUBLED:
            left = left[:-1]
        if ending in ("ied", "ies"):
            return left + "y"
        return left.removesuffix("e") if len(left) > SHORTEST else left
    return word
