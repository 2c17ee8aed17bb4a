"""Yes or no: what says which, and statements that answer a question by saying it again."""

import re

from stages.verifiers.text import EMPTY_WORDS, HEDGE, NEGATION, normalize, words_of

YES = frozenset("yes true correct right 是 对 正确 能 可以 会 有 成立 相等 √ yeah yep".split())
NO = frozenset(
    "no false incorrect wrong 否 错 错误 不能 不是 不对 不正确 不可以 不会 "
    "没有 不成立 不相等 × 不 nope".split()
)
DENIED = re.compile(
    r"\b(?:not|isn't|n't|(?:cannot|can't|can not|could not|couldn't) be)\s+"
    r"(yes|no|true|false|correct|incorrect|right|wrong)\b"
)
UNSAID = re.compile(r"\b(?:cannot|can't|can not|not|never|hard to|wrong to) (?:say|answer)\b")
EITHER = re.compile(
    r"\b(yes|true|correct|right)\s*(?:,|/|or|and)\s*(no|false|incorrect|wrong)\b"
    r"|\b(no|false)\s*(?:,|/|or|and)\s*(yes|true)\b|[是对能]\s*[/或]\s*[否错不]"
)
FILLER = frozenset("so therefore thus hence 所 以 因 此 故".split())
QUESTIONED = re.compile(r"[?？]|\b(?:whether|if)\b|是否|吗")
MOST_REPEATED = 0.6
"""So much of a question a statement must say again to be its answer."""
MARKS = {"√": True, "✓": True, "✔": True, "×": False, "✗": False, "✘": False}
POLAR = re.compile(
    r"\b(?:yes|no|true|false|correct|incorrect|right|wrong)\b"
    r"|不(?:能|是|对|正确|可以|会|成立|相等)?|没有|错误?|[是对能会有√]|正确|可以|成立|相等|否",
    re.IGNORECASE,
)


def polarity(text: str) -> bool | None:
    """Whether a text says yes or no: by its only such word, or else by its first or last."""
    if text.strip() in MARKS:
        return MARKS[text.strip()]
    if (
        EITHER.search(normalize(text))
        or UNSAID.search(normalize(text))
        or HEDGE.search(normalize(text))
    ):
        return None
    if reversed_ := DENIED.search(normalize(text)):
        return reversed_[1] in NO
    words = POLAR.findall(normalize(text))
    found = [word in YES for word in words if word in YES or word in NO]
    if not found:
        return None
    plain = normalize(text)
    if plain in YES or plain in NO:
        return plain in YES
    first = re.match(r"\W*(\w+)", plain)
    if first and (first[1] in YES or first[1] in NO):
        return first[1] in YES
    return found[-1] if len(set(found)) == 1 or plain.endswith(words[-1]) else None


def asserts(statement: str, question: str) -> bool | None:
    """Whether a statement says yes to a question by saying it again; None: it does not do so."""
    if not question or HEDGE.search(normalize(statement)) or QUESTIONED.search(statement):
        return None
    said = [word for word in words_of(statement) if word not in FILLER]
    denied = len(NEGATION.findall(" ".join(said)))
    kept = {word for word in said if not NEGATION.fullmatch(word)} - EMPTY_WORDS
    asked = {word for word in words_of(question) if not NEGATION.fullmatch(word)} - EMPTY_WORDS
    if NEGATION.search(normalize(question)) or denied > 1:
        return None
    if not kept or not kept <= asked or len(kept) < MOST_REPEATED * len(asked):
        return None
    return denied == 0


def is_polar(gold: str) -> bool:
    """Whether a gold answer is a plain yes or no."""
    plain = normalize(gold)
    if gold.strip() in MARKS:
        return True
    return (plain in YES or plain in NO) and plain not in ("right", "有", "×", "√", "不")
