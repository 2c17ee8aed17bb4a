"""Which number of a sentence a question is after: labels, changes, things that are counted."""

import re

from stages.verifiers.kinds.text import EMPTY_WORDS, words_of
from stages.verifiers.responses.mentions import NUMBER

LABEL = re.compile(
    r"(?<!which )(?<!what )\b(?:figures?|fig\.|questions?|problems?|exercises?|images?|pictures?"
    r"|steps?|equations?|eq\.|theorems?|tables?|examples?|methods?|cases?|sections?|pages?|chapters?)"
    r" ?\(?\d{1,3}\)?(?![\d.]*\d|:\d| ?[%°=+*/×]| (?:is|are|was|times|more|of)\b)"
    r"|第\s?\d{1,3}\s?[题步页章节]|[图表]\s?\d{1,3}(?![\d.%个条张])",
    re.IGNORECASE,
)
"""`Figure 4`: what has a number, and is none."""
UNSEEN = re.compile(
    r"\b(?:can't|cannot|can not|couldn't|unable to|not able to|don't have access to) "
    r"(?:\w+ ){0,4}?(?:the |any |this |your )?(?:image|figure|picture|diagram|photo|graph)\b"
    r"|(?:看不到|看不见|无法(?:看到|查看|访问|获取)|没有看到)[^。]{0,8}[图片]"
)
BY_HOW_MUCH = re.compile(
    r"\bby how (?:much|many)\b"
    r"|\bhow (?:much|many) (?:\w+ ){0,3}?(?:did|has|have|does) [^.?]{0,60}"
    r"\b(?:decrease|increase|fall|drop|rise|grow|change|decline|shrink|gain|lose)"
    r"|(?:减少|升高|增加|下降|上升|降低|提高|降|涨|升|跌|增长|缩短|增大)了?多少"
)
CHANGED_TO = re.compile(
    r"\b(?:decreas|increas|f[ae]ll|dropp?|r[io]se|gr[eo]w|declin|shr[aiu]nk|chang|reduc|went|goes"
    r"|go|lower|rais|climb)\w*(?: (?!by\b)[a-z]+){0,2}?(?: from \S{1,20}(?: \w+)?)?"
    r" to (?=[\\$€£]?-?\d)"
    r"|(?:[降涨升跌]|减少|增加|下降|上升|降低|提高|增长|缩短|增大)(?:低|高)?[到至为成]\s?(?=\d)",
    re.IGNORECASE,
)
FROM_TO = re.compile(r",? from \S{1,12}(?: [a-z]+)? to \S{1,12}(?: [a-z]+)?\W*$")
HOW_MANY = re.compile(r"\bhow many (?P<noun>[a-z]+)\b(?P<rest>[^.?]*)", re.IGNORECASE)
IN_ALL = re.compile(
    r"\b(?:total|altogether|in all|all|so|thus|therefore|hence|sum|combined|together|both|more"
    r"|fewer|less|difference|than|average|or)\b",
    re.IGNORECASE,
)
PART = re.compile(r"\s*[;,]\s*|\s(?:and|but|while|whereas)\s")
COUNT = re.compile(r"(?:[Tt]here (?:are|were) )?\$?\d+\$? [a-z]")
HAN_ASKED = re.compile(
    r"(?:多少|几)[个只名位条张人本辆棵头件支]?(?P<noun>[\u4e00-\u9fff]{1,4}?)(?=[?？。，,]|$|是|在|喜|参|有)"
)
HAN_COUNT = re.compile(r"(?<![\d.])(\d+)\s?[个只名位条张人本辆棵头件支]?([\u4e00-\u9fff]{1,6})")
HAN_IN_ALL = re.compile("一共|总共|共有|合计|所以|因此|[多少]多?少?$|比")
ASKS_YEAR = re.compile(r"\b(?:which|what) year\b|哪一?年", re.IGNORECASE)
YEAR = re.compile(r"(?<!\d)(?:1[5-9]|20)\d\d(?!\d)")
LONGEST = 400


def without_labels(plain: str, question: str) -> str:
    """A sentence without the numbers of figures, `Figure 4`, and the ends of a change."""
    if BY_HOW_MUCH.search(question) and NUMBER.search(shorter := FROM_TO.sub("", plain)):
        plain = shorter
    return plain if "which" in question.lower() else LABEL.sub("it", plain)


def states_end(plain: str, question: str) -> bool:
    """Whether a sentence ends with what a thing fell or rose to, where it is asked by how much."""
    if not BY_HOW_MUCH.search(question):
        return False
    ends = list(CHANGED_TO.finditer(plain))
    return bool(ends) and len(NUMBER.findall(plain, ends[-1].end())) <= 1


def count_asked_for(line: str, question: str) -> str | None:
    """Of clauses that count things alike, the one that counts what was asked for; else None.

    `35 students prefer tea and 20 prefer coffee`
    """
    if len(line) > LONGEST:
        return None
    if match := HAN_ASKED.search(question):
        return _han_count(line, match["noun"])
    asked = HOW_MANY.search(question)
    if asked is None or IN_ALL.search(asked[0]) or IN_ALL.search(line) or "=" in line:
        return None
    parts = [part for part in PART.split(line) if NUMBER.search(part)]
    if len(parts) < 2 or not all(COUNT.match(part) for part in parts):
        return None
    if any(len(NUMBER.findall(part)) > 1 for part in parts):
        return None
    wanted = set(words_of(asked[0])) - EMPTY_WORDS
    told = [set(words_of(part)) for part in parts]
    common = set.intersection(*told)
    shared = [len((wanted & one) - common) for one in told]
    best = max(shared)
    # Words that are asked for must be with one number and with no other.
    others = set().union(*(one for one, count in zip(told, shared, strict=True) if count < best))
    if shared.count(best) != 1 or not (wanted & told[shared.index(best)]) - others:
        return None
    return parts[shared.index(best)]


def _han_count(line: str, noun: str) -> str | None:
    if not noun or HAN_IN_ALL.search(line):
        return None
    counts = HAN_COUNT.findall(line)
    found = [number for number, counted in counts if counted.startswith(noun)]
    return found[0] if len(found) == 1 and len(counts) > 1 else None


def year_asked_for(plain: str, question: str) -> str | None:
    """The only year that a sentence speaks of, where a question asks for one; else None."""
    years = set(YEAR.findall(plain)) if ASKS_YEAR.search(question) else set()
    return years.pop() if len(years) == 1 else None
