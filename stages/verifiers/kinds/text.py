"""Answers in words: the same text, the same names."""

import functools
import re
from fractions import Fraction

from stages.verifiers.kinds.countries import in_short
from stages.verifiers.kinds.word_order import same_in_order
from stages.verifiers.spelling.clean import tidy
from stages.verifiers.spelling.macros import without_arrows

FRACTION = re.compile(
    r"([+-]?)\s*(?:\\frac\{(\d{1,30})\}\{(\d{1,30})\}|(\d{1,30})\s*/\s*(\d{1,30}))"
)
NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d{1,60})?(?:\.\d{1,60})?")
ARROW = re.compile(
    r"\\(?:longrightarrow|rightarrow|to|rightleftharpoons|Rightarrow)(?![A-Za-z])|->|→|⇌"
)
SPELLINGS = {
    "right-angled": "right", "centre": "center", "anticlockwise": "counterclockwise",
    "anti-clockwise": "counterclockwise", "grey": "gray", "colour": "color", "first": "1st",
    "second": "2nd", "third": "3rd", "fourth": "4th", "fifth": "5th", "sixth": "6th",
    "seventh": "7th", "eighth": "8th", "ninth": "9th", "tenth": "10th",
    "ne": "northeast", "nw": "northwest", "se": "southeast", "sw": "southwest",
}  # fmt: skip
NEITHER = re.compile(
    r"(?:it is )?neither (?:(?:even nor odd|odd nor even)|of (?:them|these|the two))"
)
ARTICLES = frozenset(
    ["the", "a", "an", "is", "are", "was", "were", "it", "its", "that", "this", "of", "to", "in"]
)
EMPTY_WORDS = ARTICLES | frozenset(
    (
        "and or be been by for from on at as with will would can could one ones there "
        "has have had do does they them their he she his her we our i you your if "
        "then than so such which who what all any some each every both more most less "
        "only very often"
    ).split()
)
DOING = frozenset(
    (
        "is are was were has have had does did will would can could wins won win gets got "
        "receives received runs ran takes took comes came finishes finished goes went becomes shows"
    ).split()
)
STATING = frozenset(
    (
        "answer result shape figure name called means therefore thus hence correct because since "
        "belongs belong recorded observed occurs occurred "
        "known solution type kind follows follow using shows show shown depicts displays"
    ).split()
)
OTHER_SIDE = frozenset("than unlike except besides without against".split())
"""What follows these is what something is set against."""
BEFORE_HAN = re.compile(
    r"(?:^|[是为:的于成叫作做选答,了]|逐渐|不断|一直|互相|相互|[会将都均也]|\s)$"
)
NOUN = re.compile("[形数角线体式者人]$")
"""A noun may have something in front of it that makes it another thing."""
AROUND_HAN = re.compile("先.*[后再]|[一部]部分|有时")
CONDITION_HAN = re.compile(
    r"随着?[^,;.而]{1,24}(?:而|,)|当[^,;.]{1,24}?时,?|[^,;.]{1,24}时,|(?:如果|若|假如)[^,;.]{1,24},"
)
"""What a Chinese sentence lays down before it says what follows: `随x的增大而`, `电阻变大时,`."""
LED_IN = re.compile(r"(?:as|when|while|whenever|if) [^,]{1,60}, ", re.IGNORECASE)
"""The same in English, where a sentence begins with it."""
ADDED = re.compile(r"(?<=\w)\s*\((?!not\b|or\b|and\b)[^()]{1,40}\)$")
"""What stands in brackets after a name says it once more."""
THINGS = frozenset(
    "point line segment side angle triangle figure option team group box car player shape".split()
)
NEGATION = re.compile(r"\b(?:not|never|no|neither|nor|without|cannot)\b|n't\b|不|没|非|无")
SAID_OF = re.compile(
    r"(?:so |thus |therefore |hence )?(?:the |a |an |these |this |it |they )?"
    r"(?:(?!(?:and|or|but|if|not|no|only)\b)[\w'-]+ ){0,4}(?:is|are|was|were) "
)
"""A subject and its verb, before what is said of it."""
HEDGE = re.compile(
    r"\b(?:either|maybe|perhaps|possibly|might be|may be|could be|could also|not sure|unsure"
    r"|unknown|cannot (?:be )?determin\w*|can't (?:be )?determin\w*|guess)\b|可能|也许|或者",
    re.IGNORECASE,
)
SYNONYMS = {
    "infinitely many": "infinity", "infinite": "infinity", "\\infty": "infinity", "无数个":
    "infinity", "无穷多": "infinity", "无穷": "infinity", "无数": "infinity", "grey": "gray",
    "colour": "color", "infinitely": "infinity", "an infinite number": "infinity",
    "既不是奇函数也不是偶函数": "非奇非偶函数", "既非奇函数也非偶函数": "非奇非偶函数",
    "既不是奇函数,也不是偶函数": "非奇非偶函数", "非奇非偶": "非奇非偶函数",
    "none of these": "none of the above", "neither": "none", "not possible": "impossible",
}  # fmt: skip


@functools.lru_cache(maxsize=20_000)
def normalize(text: str) -> str:
    """The same answer in the same letters: no math delimiters, wrappers, case or outer marks."""
    return without_arrows(tidy(text)).casefold().strip(" .,;:'\"")


@functools.lru_cache(maxsize=20_000)
def squeezed(text: str) -> str:
    """A normalized answer without spaces and multiplication signs that change nothing."""
    plain = ARROW.sub("=", without_arrows(tidy(text)))
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", plain).replace("{}", "")


def numeric_value(text: str) -> Fraction | None:
    """The exact value of a plain decimal or fraction; None for anything else.

    Nothing is evaluated: the text matches a number as a whole, or is not one.
    """
    text = text.strip().strip("$").strip()
    if match := FRACTION.fullmatch(text):
        sign, *digits = match.groups()
        numerator, denominator = (int(digit) for digit in digits if digit)
        if not denominator:
            return None
        return Fraction(-numerator if sign == "-" else numerator, denominator)
    if NUMBER.fullmatch(text) and any(character.isdigit() for character in text):
        return Fraction(text.replace(",", "").lstrip("+"))
    return None


def _in_short(plain: str) -> str:
    """An answer by its shortest name: a function that is neither even nor odd is `neither`."""
    plain = in_short(SPELLINGS.get(plain, plain))
    return SYNONYMS.get(plain, "none" if NEITHER.fullmatch(plain) else plain)


def words_of(text: str) -> list[str]:
    """The words of a text, without articles; Chinese characters count each."""
    plain = normalize(text)
    plain = in_short(SYNONYMS.get(plain, plain))
    found = re.findall(r"[a-z0-9][a-z0-9'+.-]*|[\u4e00-\u9fff]|\d+", plain)
    found = [SPELLINGS.get(word, word).strip(".-'") for word in found]
    return [word for word in found if word not in ARTICLES] or found


def same_words(gold: str, answer: str) -> bool:
    """Whether two texts are the same but for case and spelling."""
    left, right = normalize(gold), normalize(answer)
    if not left:
        return False
    if _in_short(left) == _in_short(right):
        return True
    if re.fullmatch(r"[a-z_{}\d]*[a-z][a-z_{}\d]*", left) and re.sub(  # a formula such as H_2O
        r"[_{}]", "", left
    ) == re.sub(r"[_{}]", "", right):
        return True
    words = words_of(answer)
    return len(left) <= 2 and len(words) == 2 and words[1] == left and words[0] in THINGS


def same_text(gold: str, answer: str, question: str = "") -> bool:
    """Whether an answer in words says what the gold answer says.

    The gold answer may be a sentence of which the answer is the point, or the other way round;
    what is negated or left open on one side only is something else.
    """
    if not LED_IN.match(gold):
        answer = LED_IN.sub("", tidy(answer))
    if "(" not in gold:
        answer = ADDED.sub("", tidy(answer))
    left, right = normalize(gold), normalize(answer)
    left, right = _in_short(left), _in_short(right)
    left, right = left.replace("没有", "无"), right.replace("没有", "无")
    if not left or not right:
        return False
    if left == right or re.sub(r"[\s_-]", "", left) == re.sub(r"[\s_-]", "", right):
        return True
    ours, theirs = words_of(gold), words_of(answer)
    if not ours and not theirs:
        return False  # signs, which are not the same
    if ours == theirs:
        return True
    subject = SAID_OF.match(right) if NEGATION.search(left) else None
    if subject and words_of(right[subject.end() :]) == ours:
        return True
    if bool(NEGATION.search(left)) != bool(NEGATION.search(right)) or HEDGE.search(right):
        return False
    stems = [_stem(word) for word in ours], [_stem(word) for word in theirs]
    if sorted(stems[0]) == sorted(stems[1]):
        return same_in_order(left, right, *stems)
    if not left.isascii():
        if not CONDITION_HAN.search(left):
            right = CONDITION_HAN.sub("", right)
        at = right.find(left)
        if at < 0 or len(theirs) > 20 or AROUND_HAN.search(right):
            return False
        return (
            not (len(left) == 1 or NOUN.search(left)) or BEFORE_HAN.search(right[:at]) is not None
        )
    if ours[: len(theirs)] == theirs and set(ours[len(theirs) :]) <= set(words_of(question)):
        return True  # acute, of a triangle that was asked about
    if len(theirs) == 1 and len(ours) == 2 and ours[-1] == theirs[0]:
        # product B, box 12, segment CD
        return len(theirs[0]) == 1 or theirs[0].isdigit() or ours[0] in THINGS
    if re.fullmatch(r"[a-z]+\d+", left) and theirs == [left.lstrip("abcdefghijklmnopqrstuvwxyz")]:
        return True
    if _is_subject(ours, theirs):
        return True
    return _point_of(left, ours, theirs, question) or _restated(ours, theirs, question)


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _inside(short: list[str], long: list[str]) -> bool:
    return any(
        long[start : start + len(short)] == short for start in range(len(long) - len(short) + 1)
    )


def _point_of(gold: str, ours: list[str], theirs: list[str], question: str) -> bool:
    """Whether an answer of a few words is what a gold sentence comes down to."""
    if len(gold.split()) < 5 or not 1 <= len(theirs) <= 3 or not _inside(theirs, ours):
        return False
    content = [word for word in theirs if word not in EMPTY_WORDS]
    if not content or any(len(word) == 1 for word in content):
        return False
    asked = words_of(question)
    offered = " or " in question.lower()
    return any(word not in asked for word in content) or offered


def _restated(ours: list[str], theirs: list[str], question: str) -> bool:
    """Whether an answer is a sentence around a gold answer of a few words.

    Words beside it must be the question's, or empty, or begin a phrase of their own: a right
    triangle is not an isosceles right triangle, nor is John the same as John and Mary.
    """
    if not ours or len(ours) > 4 or not len(ours) < len(theirs) <= 14:
        return False
    if all(len(word) == 1 for word in ours) or {"or", "and", "but"} & set(theirs) - set(ours):
        return False
    if all(word in EMPTY_WORDS for word in ours[:1]) or not _inside(ours, theirs):
        return False
    if _is_subject(theirs, ours):
        return True
    start = next(at for at in range(len(theirs)) if theirs[at : at + len(ours)] == ours)
    if OTHER_SIDE & set(theirs[:start]):
        return False
    known = EMPTY_WORDS | STATING | set(words_of(question))
    rest = theirs[start + len(ours) :]
    before = [word for word in theirs[:start] if word not in known]
    return all(_stem(word) in known for word in before) and (not rest or rest[0] in known)


def _is_subject(long: list[str], short: list[str]) -> bool:
    """Whether a sentence begins with the words of an answer, and goes on to say what it does."""
    return len(short) < len(long) and long[: len(short)] == short and long[len(short)] in DOING
