"""Which part of a sentence answers the question: its clauses, subject, bounds, times of day."""

import re

from stages.verifiers.choices.options import options_in, stem_of
from stages.verifiers.choices.paraphrase import paraphrased
from stages.verifiers.kinds.labelled import labelled_at_end
from stages.verifiers.kinds.terms import terms_of
from stages.verifiers.kinds.text import EMPTY_WORDS, words_of
from stages.verifiers.kinds.times import PAST
from stages.verifiers.responses.boxes import SEVERAL
from stages.verifiers.responses.counted import count_asked_for
from stages.verifiers.responses.mentions import NUMBER

CLAUSES = re.compile(r"\s*[;；，]\s*|,\s+")
ANY_CLAUSE = re.compile(r"\s*[;；，,]\s*|\s(?:and|but|while|whereas)\s")
VERB = re.compile(
    r"(?:\b(?:(?:it|that|this)'s|is|are|was|were|be|equals?|becomes|get|gives|obtain|have|has|means)\b"
    r"|=|≈|[为是得]|等于)"
    r"(?:\s*(?:therefore|thus|approximately|about|roughly|exactly|equal to|simply|just"
    r"|only|now|then"
    r"|[:：]))*\s*",
)
COPULA = re.compile(
    r"(?:\b(?:is|are|was|were|be|becomes|means|called|named)\b|=|[为是])"
    r"(?:\s*(?:therefore|thus|simply|just|only|now|then|[:：]))*\s*"
)
"""In a sentence without one the answer may as well be its subject."""
MONTH_OR_DAY = re.compile(
    r"\b(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)\b"
)
DAY_ASKED = re.compile(r"\b(?:which|what) (?:day|month)\b", re.IGNORECASE)
HAN_TIME = re.compile(
    r"(?:凌晨|清晨|早上|早晨|上午|中午|下午|傍晚|晚上)?(?:\d{1,2}|[一二两三四五六七八九十]{1,3})点"
    r"(?:整|半|[一三]刻|\d{1,2}分?|[一二三四五六七八九十]{1,3}分)?"
)
ASIDE = re.compile(
    r"(?:(?:so|then|and) )?(?:we|I) (?:find|get|have|obtain)(?: that)?"
    r"|[^\w∠△]+|^[解答]|因此|所以|故|the"
)
"""What a subject has around its name."""
ELLIPTIC = re.compile(r"(?:and |while |but )?(?:the )?\w+(?: \w+)? (?:for|by|at|on|with) (?=\d)")
"""A clause that leaves its verb to the one before, `and food for 30%`."""
CONDITION = re.compile(r"(?:when|if|for|since|with|because|given)\b|当", re.IGNORECASE)
RANGE = re.compile(
    r"(?<!from )(?<![\w.])\d[\d.,]* ?(?:to|or|–|~|至|到|或) ?\d[\d.,]*(?![\w:/^])", re.IGNORECASE
)
BOUND = re.compile(
    r"\b(?:at (?:least|most)|no (?:more|fewer|less) than"
    r"|(?<!add )(?<!adds )(?<!adding )up to|over|under|above|below)\s*"
    r"[\\$(]*-?\d"
    r"|(?:至少|至多|最多|最少|不少于|不多于)\D{0,6}\d",
    re.IGNORECASE,
)
EXTREME = re.compile(
    r"\b(?:at (?:least|most)|least|most|minimum|minimal|maximum|maximal|smallest|fewest|largest"
    r"|greatest|lowest|highest|need(?:ed|s)?)\b|最|至少|至多",
    re.IGNORECASE,
)
SAID_OF = re.compile(
    r"([\w'∠△-]+(?: [\w'∠△-]+){0,4}?) (?:is|are|was|were|has|have|had) ([\w'-]+(?: [\w'-]+){0,7})"
)
CALLED_RIGHT = re.compile(
    r"(.{1,120}?) (?:is|are)(?: all| both)?(?: the)?(?: only)? (?:true|correct|right|valid)"
    r"(?: (?:one|option|answer|statement|choice|conclusion)s?)?",
    re.IGNORECASE,
)
"""`Statement one is true`: of options it is the subject that counts."""
LONGEST = 1000


def clause_asked_for(line: str, question: str, kind: str) -> str:
    """Of clauses that state several values, the one whose subject the question names."""
    if kind in SEVERAL and labelled_at_end(line):
        return line
    if kind == "number" and (counted := count_asked_for(line, question)):
        return counted
    parts = [part for part in CLAUSES.split(line) if VERB.search(part)]
    if len(parts) < 2:
        return _nearest_clause(line, question) if kind == "number" else line
    heads = [ASIDE.sub("", VERB.split(part, maxsplit=1)[0]) for part in parts]
    plain = ASIDE.sub("", question)
    named = all(len(head) <= 3 for head in heads)
    unknowns = terms_of(question).unknowns if named else ()
    asked = [
        part
        for part, head in zip(parts, heads, strict=True)
        if (len(head) > 1 and head in plain) or head in unknowns
    ]
    if len(asked) == 1:
        return asked[0]
    return _nearest_clause(line, question) if kind == "number" else line


def _nearest_clause(line: str, question: str) -> str:
    """Of clauses that say alike what several things are, the one with most words of the question.

    `The highest value is 98 and the lowest is 45.`
    """
    parts = ANY_CLAUSE.split(line)
    if len(parts) < 2 or len(line) > LONGEST or ". " in line or CONDITION.match(line):
        return line
    if not ELLIPTIC.match(parts[-1]) and not all(
        COPULA.search(part) and NUMBER.search(part) for part in parts
    ):
        return line
    asked = set(words_of(question)) - EMPTY_WORDS
    shared = [len(asked & set(words_of(part))) for part in parts]
    most = max(shared)
    return parts[shared.index(most)] if shared.count(most) == 1 else line


def moment_in_words(plain: str, question: str) -> str | None:
    """The time, day or month that a sentence names in words; None: it names none."""
    if clock := PAST.search(plain):
        return clock[0]
    if clock := HAN_TIME.search(plain):
        return clock[0]
    if NUMBER.search(plain):
        named = MONTH_OR_DAY.findall(plain) if DAY_ASKED.search(question) else []
        return named[0] if len(named) == 1 else None
    asked = set(words_of(question))
    clauses = [part for part in ANY_CLAUSE.split(plain) if MONTH_OR_DAY.search(part)]
    # The maximum was on Thursday, the minimum on Tuesday: the clause that is nearest the question.
    clauses.sort(key=lambda clause: len(asked & set(words_of(clause))))
    return MONTH_OR_DAY.findall(clauses[-1])[-1] if clauses else None


def is_bound(plain: str, question: str) -> bool:
    """Whether a sentence says what a number lies above, below or between; so it may if asked to."""
    patterns = (RANGE,) if EXTREME.search(question) else (RANGE, BOUND)
    matches = [match for pattern in patterns for match in pattern.finditer(plain)]
    return any(NUMBER.search(plain, match.end()) is None for match in matches)


def subject_of(plain: str, question: str) -> str | None:
    """The subject of a sentence that says of it what was asked, `Line b is steeper`; else None."""
    match = SAID_OF.fullmatch(plain)
    if match is None or not question:
        return None
    asked, said = words_of(question), words_of(match[2])
    if not said or not set(said) <= set(asked) or set(words_of(match[1])) <= set(asked):
        return None
    return match[1]


def option_called_right(plain: str, question: str) -> str | None:
    """What a sentence says is right, or is what was asked for: `copper conducts`; else None."""
    if paraphrased(plain, options_in(question), stem_of(question)):
        return plain
    called = CALLED_RIGHT.fullmatch(plain)
    return called[1] if called else subject_of(plain, stem_of(question))
