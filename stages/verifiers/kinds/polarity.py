"""Yes or no: what says which, and statements that answer a question by saying it again."""

import re

from stages.verifiers.kinds.text import EMPTY_WORDS, HEDGE, NEGATION, normalize, words_of
from stages.verifiers.spelling.stems import stem

YES = frozenset("yes true correct right 是 对 正确 能 可以 会 有 成立 相等 √ yeah yep".split())
NO = frozenset(
    "no false incorrect wrong 否 错 错误 不能 不是 不对 不正确 不可以 不会 "
    "没有 不成立 不相等 × 不 nope 无法 做不到 办不到".split()
)
LETTERS = {"t": True, "y": True, "f": False, "n": False}
ASKS_LETTER = re.compile(
    r"\b(?:true or false|yes or no|t or f|y or n|t ?/ ?f|y ?/ ?n|true ?/ ?false|yes ?/ ?no)\b",
    re.IGNORECASE,
)
OPENING = re.compile(r"\W*(yes|no|true|false|yeah|yep|nope|是的|对的|否|不)\s*[,.;:!，。；：！]")
"""A text that begins so has said it; what follows are reasons."""
FALSE_THAT = re.compile(
    r"\b(?:false|wrong|incorrect|untrue|not (?:true|correct|right|the case))(?: to say)? that\b"
    r".{0,60}?\b(yes|no|true|false|correct|incorrect)\b"
)
BEYOND_DOUBT = re.compile(
    r"^\W*(?:there(?: is|'s) )?(?:no (?:doubt|question|denying)(?: about (?:it|this|that))?"
    r"|no ?(?:one|body) (?:(?:can|could|would|will) )?"
    r"(?:deny|denies|doubts?|disputes?|questions?)(?: (?:it|this|that))?)(?:\W+(?:that )?|$)"
)
"""It is sure, says this no."""
CONDITIONAL = re.compile(
    r"\bwould\b|\bfor (?:it|this|that|them) to be\b"
    r"|\b(?:yes|no|true|false|correct|right)\b,? (?:only|if|when|unless|provided)\b"
    r"|(?:如果|若|假如|除非).*[才则就]|只有.*才"
)
"""What would be so is not so."""
NOT_ALWAYS = re.compile(
    r"不一定|未必|不见得|并不总|\bnot (?:necessarily|always|in general)\b|\bneed not\b"
)
PARTLY = re.compile(r"不完全|不全[是对]|部分正确|\bpart(?:ly|ially)\b")
ALWAYS = re.compile(
    r"\b(?:always|necessarily|must|every|all|any|each|certainly)\b|一定|总是|必[定然须]|任意|所有|恒",
    re.IGNORECASE,
)
DENIED = re.compile(
    r"\b(?:not|isn't|n't|(?:cannot|can't|can not|could not|couldn't) be)\s+"
    r"(yes|no|true|false|correct|incorrect|right|wrong)\b"
)
UNSAID = re.compile(
    r"\b(?:cannot|can't|can not|not|never|hard to|wrong to) (?:say|answer)\b"
    r"|无法(?:确定|判断|回答|得知|得出)"
)
EITHER = re.compile(
    r"\b(yes|true|correct|right)\s*(?:,|/|or|and)\s*(no|false|incorrect|wrong)\b"
    r"|\b(no|false)\s*(?:,|/|or|and)\s*(yes|true)\b|[是对能]\s*[/或]\s*[否错不]"
)
FILLER = frozenset(
    "so therefore thus hence indeed conclude see find follows shows means implies "
    "所 以 因 此 故".split()
)
SHORT_FORMS = (
    (re.compile(r"\bcan't\b|\bcannot\b"), "can not"), (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"n't\b"), " not"), (re.compile(r"\b(it|that|there|he|she)'s\b"), r"\1 is"),
    (re.compile(r"'re\b"), " are"), (re.compile(r"\bimpossible\b"), "not possible"),
)  # fmt: skip
PRONOUN = re.compile(
    r"\W*(?:(?:so|thus|hence|therefore|indeed)\W+)?(?:it|they|this|these|he|she)\b"
)
TWO_THINGS = re.compile(r"\b(?:and|or|both|either)\b|[和或且]")
"""A question that asks two things is not answered by half of it."""
QUESTIONED = re.compile(r"[?？]|\b(?:whether|if)\b|是否|吗")
MOST_REPEATED = 0.6
"""So much of a question a statement must say again to be its answer."""
MARKS = {"√": True, "✓": True, "✔": True, "×": False, "✗": False, "✘": False}
POLAR = re.compile(
    r"\b(?:yes|no|true|false|correct|incorrect|right|wrong)\b"
    r"|不(?:能|是|对|正确|可以|会|成立|相等)?|没有|无法|[做办]不到|错误?|[是对能会有√]"
    r"|正确|可以|成立|相等|否",
    re.IGNORECASE,
)


def stance(text: str, question: str) -> bool | None:
    """Whether a text answers a question with yes or no, in so many words or by saying it again."""
    said = polarity(text)
    if said is None:
        said = asserts(text, question)
    if said is None and ALWAYS.search(question) and NOT_ALWAYS.search(normalize(text)):
        return False
    return said


def polarity(text: str) -> bool | None:
    """Whether a text says yes or no: by its only such word, or else by its first or last."""
    if text.strip() in MARKS:
        return MARKS[text.strip()]
    plain = normalize(text)
    if plain in LETTERS:
        return LETTERS[plain]
    plain = BEYOND_DOUBT.sub("", plain)
    if any(one.search(plain) for one in (EITHER, UNSAID, HEDGE, NOT_ALWAYS, PARTLY)):
        return None
    if opening := OPENING.match(plain):
        return opening[1] in YES or opening[1] in ("是的", "对的")
    if CONDITIONAL.search(plain):
        return None
    if reversed_ := FALSE_THAT.search(plain) or DENIED.search(plain):
        return reversed_[1] in NO
    words = POLAR.findall(plain)
    found = [word in YES for word in words if word in YES or word in NO]
    if not found:
        return None
    if plain in YES or plain in NO:
        return plain in YES
    first = re.match(r"\W*(\w+)", plain)
    if first and (first[1] in YES or first[1] in NO):
        return first[1] in YES
    return found[-1] if len(set(found)) == 1 or plain.endswith(words[-1]) else None


def asserts(statement: str, question: str) -> bool | None:
    """Whether a statement says yes to a question by saying it again; None: it does not do so."""
    statement, question = _in_full(statement), _in_full(question)
    if not question or HEDGE.search(statement) or QUESTIONED.search(statement):
        return None
    if NOT_ALWAYS.search(statement) or NEGATION.search(question):
        return None
    said = [word for word in words_of(statement) if word not in FILLER]
    denied = len(NEGATION.findall(" ".join(said)))
    kept = {stem(word) for word in said if not _is_empty(word)}
    asked = {stem(word) for word in words_of(question) if not _is_empty(word)}
    if denied > 1 or not kept or not kept <= asked:
        return None
    by_pronoun = PRONOUN.match(statement) and not TWO_THINGS.search(question)
    if not by_pronoun and len(kept) < MOST_REPEATED * len(asked):
        return None
    return denied == 0


def _in_full(text: str) -> str:
    """A text in plain letters, without the short forms of verbs."""
    text = normalize(text)
    for short, full in SHORT_FORMS:
        text = short.sub(full, text)
    return text


def _is_empty(word: str) -> bool:
    return word in EMPTY_WORDS or NEGATION.fullmatch(word) is not None


def is_polar(gold: str, question: str = "") -> bool:
    """Whether a gold answer is a plain yes or no, or its letter where a question asks for that."""
    plain = normalize(gold)
    if plain in LETTERS and ASKS_LETTER.search(question):
        return True
    if gold.strip() in MARKS:
        return True
    return (plain in YES or plain in NO) and plain not in ("right", "有", "×", "√", "不")
