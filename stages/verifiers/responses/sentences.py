"""What one sentence states: its end after a verb, its last formula, or its last number."""

import re

from stages.verifiers.choices.romans import statements_in
from stages.verifiers.kinds.labelled import labelled_at_end
from stages.verifiers.kinds.spans import asks_for_span, span_in
from stages.verifiers.kinds.units import unit_of
from stages.verifiers.responses.boxes import SEVERAL
from stages.verifiers.responses.clauses import (
    CLAUSES,
    COPULA,
    VERB,
    is_bound,
    moment_in_words,
    option_called_right,
    subject_of,
)
from stages.verifiers.responses.counted import year_asked_for
from stages.verifiers.responses.mentions import (
    GUARDED,
    HAN,
    NUMBER,
    comparison_in,
    enclosed_in,
    is_formula,
    is_number,
    last_number,
    list_at_end,
    measure_in,
    number_in_words,
    ratio_in_words,
    region_at_end,
)
from stages.verifiers.responses.open_ends import WORDED, leaves_open
from stages.verifiers.responses.rejected import without_rejected
from stages.verifiers.responses.trimmings import without_asides, without_marks
from stages.verifiers.spelling.han import circled_in

NOTHING = re.compile(
    r"no (?:real |such |valid |other )?(?:solution|root|number|value)|real numbers|empty set"
    r"|does not exist|infinit"
    r"|无解|空集|全体实数|不存在",
    re.IGNORECASE,
)
"""What a question for numbers may be answered with all the same."""
DENIED = re.compile(
    r"不(?:是|等于|为|应)|并非|≠|\\neq?\b|\b(?:is|are|was|be)(?: not|n't)\b|\bnot equal\b"
    r"|\b(?:cannot|can't|can not) be\b"
    r"|\b(?:do|does|did|would|will|could|can)(?: not |n't |not )(?:get|equal|obtain|reach|give"
    r"|yield|work)\b"
)
REASON = re.compile(r"\s*(?:since|because|as|for|due to)\b|因为", re.IGNORECASE)
SO = re.compile(
    r"[,;]\s*(?:and\s+)?(?:so|hence|thus|therefore)\s+(?!that\b)(?=\S)"
    r"|[,，;；]\s*(?:所以|因此|从而|故(?![选填障]))"
)
FOLLOWS = re.compile(r"\s*(?:→|⇒|⟹|=>)\s*")
QUOTED = re.compile(r"[\"“]([^\"“”]{1,80})[\"”]")
CLAUSE = re.compile(
    r"\s(?:when|if|because|since|after|before|whenever|with|for which"
    r"|for (?:the|all|each|every|both)|to (?:get|reach|arrive|finish|complete|make))\s",
    re.IGNORECASE,
)
NAME = r"[a-zA-Z](?:_\{?\w\}?|\w)?"
EQUATIONS = re.compile(
    rf"{NAME}\s*=\s*[^\s,，;或和与]{{1,40}}(?:\s*(?:,|，|;|\bor\b|\band\b|或|和)\s*(?:and |or )?"
    rf"{NAME}\s*=\s*[^\s,，;或和与]{{1,40}})+$"
)
NEARLY = re.compile(r"(?<![^\s=≈$])[^\s=≈$]{1,60}\s?≈\s?[\d.]{1,40}$")
JOINED = re.compile(r"[\s,;，；]*(?:and|or|,|;|和|或|、)?[\s,]*")
WORDY = re.compile("[A-Za-z]{4,}")
LETTERS = re.compile(r"[A-Za-z](?:(?:, and |,? and |, ?|、|和)[A-Za-z]){1,9}")
LISTED = re.compile(r"\d+(?:\s+\d+){2,}")
MATH_ONLY = re.compile(r"[^A-Za-z\u4e00-\u9fff]*(?:\\neq?|≠)[^\u4e00-\u9fff]*")
PLACE = re.compile(r"\bquadrant|象限|[东南西北]偏[东南西北]", re.IGNORECASE)
"""Quadrants and bearings are looked for in the sentence as a whole."""
HAN_PLACE = re.compile(r"^[^\d]*第[一二三四]象限[^\d]*$")
MORE_ASKED = re.compile(r"\bhow (?:many|much) (?:more|less|fewer)\b", re.IGNORECASE)
NUMERIC = frozenset(["number", "formula", "several", "ratio", "time", "set", "tuple"])
ENCLOSING = frozenset(["tuple", "region", "set", "several", "inequality"])
COMPARED = re.compile(
    r"\b(?:greater|less|more|fewer|larger|smaller|bigger|longer"
    r"|shorter) than\s*[\\$(]*-?\d|(?:大于|小于|超过|不足)\s*\d",
    re.IGNORECASE,
)
"""A bound is no value."""
MATH = re.compile(
    r"(?<![\\$])\$([^$\n]{1,300})(?<!\\)\$|\\\((.{1,300}?)\\\)|\\\[(.{1,600}?)\\\]"
    r"|\$\$(.{1,600}?)\$\$",
    re.DOTALL,
)
PLACED = re.compile(r"^(?:located )?(?:at|to|by|the point)\s+(?=[(\d$\\-])")
BETWEEN = re.compile(r"\bbetween\s+(\$?\d[\d.,]*\$?)\s+and\s+(\$?\d[\d.]*\$?)", re.IGNORECASE)
LONGEST_PHRASE = 160
LONGEST_SENTENCE = 1000
SHORT_PHRASE = 40


def stated(sentence: str, kind: str, question: str = "") -> str | None:
    """The answer that a sentence states; None where it states none, or leaves it open.

    Args:
        sentence: without what follows it.
        kind: of the gold answer.
        question: what was asked.
    """
    sentence = sentence[-LONGEST_SENTENCE:]
    plain = without_marks(sentence)
    if not plain or leaves_open(plain, kind, question):
        return None
    if kind not in WORDED and not (plain := without_rejected(plain, question)):
        return None
    if kind == "number" and len(plain) <= LONGEST_PHRASE and HAN_PLACE.search(plain):
        return plain
    if DENIED.search(plain):
        kept = [part for part in CLAUSES.split(plain) if part.strip() and not DENIED.search(part)]
        kept = [part for part in kept if not REASON.match(part)]
        plain = kept[-1].strip() if kept else plain
    if DENIED.search(plain) and len(plain) <= LONGEST_PHRASE and not MATH_ONLY.fullmatch(plain):
        return plain if kind == "text" or re.search(r"\\neq|≠", plain) else None
    if kind == "text" and len(plain) <= LONGEST_PHRASE and PLACE.search(plain):
        return plain
    if kind in SEVERAL and (marks := circled_in(plain, question)):
        return marks
    if kind != "choice" and (numerals := statements_in(plain, question)):
        return numerals
    plain = without_asides(plain, kind, question)
    conclusion = SO.split(plain)[-1]
    if kind in WORDED or re.search(r"\d|\\", conclusion) or NOTHING.search(conclusion):
        plain = conclusion
    if kind == "number" and (year := year_asked_for(plain, question)):
        return year
    if kind in NUMERIC:
        plain = FOLLOWS.split(plain)[-1] or plain
    if kind == "text" and len(quoted := QUOTED.findall(plain)) == 1:
        return str(quoted[0])
    clause = CLAUSE.search(plain)
    if clause and re.search(r"\d|\\", plain[: clause.start()]):
        plain = plain[: clause.start()]
    if kind == "time" and (found := moment_in_words(plain, question)):
        return found
    if LISTED.fullmatch(plain):
        return plain
    if kind in ("inequality", "region") and (comparison := comparison_in(plain)):
        return comparison
    if kind == "region" and (region := region_at_end(plain)):
        return region
    if COMPARED.search(plain) or (kind == "number" and is_bound(plain, question)):
        return plain if len(plain) <= LONGEST_PHRASE else None
    if kind == "text" and (subject := subject_of(plain, question)):
        return subject
    if kind == "choice" and (subject := option_called_right(plain, question)):
        return subject
    if kind in ENCLOSING and asks_for_span(question) and (span := span_in(plain)):
        return " to ".join(span)
    match = BETWEEN.search(plain)
    if match and not VERB.search(plain, match.end()):
        return f"{match[1]} and {match[2]}".rstrip(".")
    answer = _found(plain, kind, question)
    if answer and kind not in WORDED and not re.search(r"[\d\\=<>^/+*]", answer):
        symbol = kind not in ("number", "ratio", "time") and (
            len(answer) <= 2 or LETTERS.fullmatch(answer) is not None
        )
        return answer if symbol or is_number(answer) or NOTHING.search(answer) else None
    return answer


def _found(plain: str, kind: str, question: str) -> str | None:
    words = re.findall(r"(?!and\b)[A-Za-z]{3,}", re.sub(r"\\[a-zA-Z]+", " ", MATH.sub(" ", plain)))
    han = re.findall("[\u4e00-\u9fff]", plain)
    spans = list(MATH.finditer(plain))
    if words and spans and kind not in WORDED:
        han = list(plain)
    if (
        kind in NUMERIC
        and HAN.search(re.sub("[或者和与]", "", plain))
        and NUMBER.search(plain)
        and not MATH.search(plain)
    ):
        han = list(plain)  # a sentence, however short: its number is what counts
    if kind == "ratio" and (ratio := ratio_in_words(plain)):
        return ratio
    if kind in SEVERAL and (labelled := labelled_at_end(plain)):
        return labelled
    if kind in SEVERAL and (match := EQUATIONS.search(plain)):
        return match[0]
    counted = kind in NUMERIC and words and NUMBER.search(plain) and not is_number(plain)
    counted = counted and not GUARDED.search(_without_asked(plain, question))
    short = len(plain) <= SHORT_PHRASE and len(words) <= 3 and len(han) <= 4
    if kind == "number" and not re.search(r"[\d\\]", plain) and len(words) > 1:
        if worded := number_in_words(plain, kind, question):
            return worded
    if short and not counted and not VERB.search(MATH.sub(" ", plain)):
        return plain
    verbless = not VERB.search(plain) or "=" in plain
    if not words and verbless and len(han) <= 2 and len(plain) <= SHORT_PHRASE and not spans:
        return plain
    if kind in NUMERIC and (worded := number_in_words(plain, kind, question)):
        return worded
    if kind in ENCLOSING and not spans and (enclosed := enclosed_in(plain)):
        return enclosed
    if kind in SEVERAL and not spans and (listed := list_at_end(plain)):
        return listed
    if spans and (formula := _last_formula(plain, spans)):
        return formula
    if kind in NUMERIC and (measure := measure_in(plain)):
        return measure
    return _end(plain, kind, question, is_worded=bool(words or han))


def _without_asked(plain: str, question: str) -> str:
    """A sentence without `more` or `less` where the question asks how many more or less."""
    return re.sub(r"\b(?:more|less)\b", "", plain) if MORE_ASKED.search(question) else plain


def _last_formula(plain: str, spans: list[re.Match[str]]) -> str | None:
    """The last formula of a sentence, with those joined to it and its unit.

    None where a number follows it.
    """
    last = spans[-1]
    rest = plain[last.end() :]
    content = next(part for part in last.groups() if part)
    if NUMBER.search(rest) is not None:
        return None
    for before in reversed(spans[:-1]):
        if not JOINED.fullmatch(plain[before.end() : last.start()]):
            break
        content = f"{next(part for part in before.groups() if part)}, {content}"
        last = before
    if last is not spans[-1]:
        return content
    unit = re.match(r"\s*([a-z]{1,3}(?:\^?\d)?|square \w+|[a-z]+s)\b", rest)
    unit = unit if unit and unit_of(unit[1]) else None
    return content + (f" {unit[1]}" if unit and len(rest) < 24 else "")


def _end(plain: str, kind: str, question: str, is_worded: bool) -> str | None:
    """What follows a sentence's last verb, or its last number."""
    verbs = list((COPULA if kind == "text" else VERB).finditer(plain))
    end = plain[verbs[-1].end() :].strip() if verbs else ""
    if "≈" in plain and (nearly := NEARLY.search(plain)):
        return nearly[0]
    numbers = list(NUMBER.finditer(plain))
    wordy = kind in NUMERIC and numbers and not re.search(r"[\d\\]", end)
    if kind == "number" and numbers and WORDY.search(end) and not GUARDED.search(end):
        wordy = wordy or not is_number(end)
    end = PLACED.sub("", end)
    if end and len(end) <= SHORT_PHRASE and not wordy:
        if len(end.split()) <= 3 or not NUMBER.search(end) or is_formula(end):
            return end.strip("*_ ")
    if numbers:
        return last_number(plain, question)
    if end and len(end) <= LONGEST_PHRASE:
        return end
    return plain if len(plain) <= LONGEST_PHRASE and is_worded else None
