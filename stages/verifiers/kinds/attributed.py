"""Which number belongs to whom: `Bob: 12, Ann: 36` for `Ann is 36 and Bob is 12 years old`."""

import re
from fractions import Fraction

from stages.verifiers.kinds.text import EMPTY_WORDS, HEDGE, NEGATION, numeric_value, words_of
from stages.verifiers.kinds.units import unit_of

CUT = re.compile(r"\s*[,;，；]\s*(?:and\s+|而)?|\.(?=\s|$)|\s+(?:and|while|whereas|but)\s+|和|而")
NUMBER = re.compile(
    r"(?<![A-Za-z\d_.,])[-+]?(?:\d{1,3}(?:,\d{3})+|\d{1,12})(?:\.\d{1,9})?(?![A-Za-z_]{0,9}\d)"
)
OPEN = re.compile(r"\b(?:or|than|least|most|if|respectively|each|per|times)\b|[=<>或倍]|分别")
EACH = re.compile(r"\b(?:each|both|all)\b|各|分别", re.IGNORECASE)
LONGEST = 240
Share = tuple[frozenset[str], Fraction]
"""Words and the number that they go with."""


def shares_of(plain: str) -> list[Share] | None:
    """The clauses of a text that give a number each, with their words; None: some do not."""
    if len(plain) > LONGEST or NEGATION.search(plain) or HEDGE.search(plain) or OPEN.search(plain):
        return None
    found: list[Share] = []
    for clause in filter(None, (part.strip() for part in CUT.split(plain))):
        numbers = NUMBER.findall(clause)
        value = numeric_value(numbers[0]) if len(numbers) == 1 else None
        words = {one for one in words_of(NUMBER.sub(" ", clause)) if one not in EMPTY_WORDS}
        if value is None or not words:
            return None
        found.append((frozenset(words), value))
    return found or None


def same_shares(gold: str, answer: str, question: str) -> bool | None:
    """Whether an answer gives each thing in a gold sentence its number; None: it can't be told.

    What two clauses of the gold sentence share, `years old`, tells nothing apart; what an answer
    says besides must be in the gold sentence's clause.

    Args:
        gold: tidied text, a sentence.
        answer: tidied text.
        question: what was asked.
    """
    ours = shares_of(gold)
    if ours is None or len(ours) < 2 or "=" in answer:
        return None
    shared = frozenset.intersection(*(words for words, _ in ours))
    names = [
        words - shared - frozenset().union(*(other for other, _ in ours[:at] + ours[at + 1 :]))
        for at, (words, _) in enumerate(ours)
    ]
    if not all(any(len(name) > 1 or not name.isascii() for name in own) for own in names):
        return None
    theirs = shares_of(answer) or []
    common = _common(theirs, is_unitless=not any(map(unit_of, shared)))
    owners = [_owner(words - common, names, [one for one, _ in ours]) for words, _ in theirs]
    if not theirs or None in owners or len(set(owners)) < len(owners):
        return None
    if len(owners) < len(ours):
        return False if EACH.search(question) else None
    wanted = [ours[at][1] for at in owners if at is not None]
    given = [value for _, value in theirs]
    # Other numbers may be rounded ones, which is for others to tell.
    return wanted == given or (False if sorted(wanted) == sorted(given) else None)


def _common(shares: list[Share], is_unitless: bool) -> frozenset[str]:
    """What all clauses of an answer say, `years old`; no units, unless the gold answer has none."""
    words = frozenset.intersection(*(words for words, _ in shares)) if len(shares) > 1 else ()
    return frozenset(word for word in words if is_unitless or not unit_of(word))


def _owner(
    words: frozenset[str], names: list[frozenset[str]], clauses: list[frozenset[str]]
) -> int | None:
    """Which clause of the gold sentence words speak of; None: of none, or it can't be told."""
    found = [at for at, own in enumerate(names) if words & own]
    return found[0] if len(found) == 1 and words <= clauses[found[0]] else None
