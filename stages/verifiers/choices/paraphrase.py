"""Options that a sentence says in other forms of their words: `it increases` for `increase`."""

import functools
import re

from stages.verifiers.kinds.text import EMPTY_WORDS, HEDGE, normalize, words_of
from stages.verifiers.spelling.stems import stem

SHORT_FORMS = (
    (re.compile(r"n't\b"), " not"), (re.compile(r"\b(?:no|never|cannot)\b"), "not"),
    (re.compile(r"\bunchanged\b"), "not changed"), (re.compile(r"没有"), "不"),
)  # fmt: skip
EMPTY = (
    EMPTY_WORDS
    | frozenset("first 1st also so thus hence therefore finally later afterwards".split())
) - {"than", "more", "less", "most"}
"""`then` tells an order from another one; it may be left out but not put elsewhere."""
SAME = {"remain": "stay", "keep": "stay"}
NEGATIONS = frozenset(["not", "neither", "nor", "without", "不", "没", "非", "无"])
LONGEST = 24
"""Words of an answer that may be an option in other words."""


@functools.lru_cache(maxsize=20_000)
def paraphrased(answer: str, options: tuple[str, ...], question: str) -> tuple[int, ...]:
    """The places of the options that have an answer's words, in its order, in any form.

    Words of the question's own and those that all options share count for nothing; any other word
    must be on both sides, negations among them.
    """
    if not options or HEDGE.search(normalize(answer)):
        return ()
    said = _content(answer)
    if not said or len(said) > LONGEST:
        return ()
    known = [_content(option) for option in options]
    if not all(known):
        return ()
    shared = set(known[0]).intersection(*known) - NEGATIONS
    own = set(_content(question)) - {word for option in known for word in option} - NEGATIONS
    said = [word for word in said if word not in own | shared]
    return tuple(
        at
        for at, option in enumerate(known)
        if said and said == [word for word in option if word not in shared]
    )


def _content(text: str) -> list[str]:
    plain = normalize(text)
    for short, full in SHORT_FORMS:
        plain = short.sub(full, plain)
    words = [word for word in words_of(plain) if word not in EMPTY]
    return [SAME.get(stem(word), stem(word)) for word in words]
