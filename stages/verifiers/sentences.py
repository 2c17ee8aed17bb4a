"""What one sentence states: its end after a verb, its last formula, or its last number."""

import re

from stages.verifiers.boxes import SEVERAL
from stages.verifiers.clean import tidy
from stages.verifiers.letters import HEDGED
from stages.verifiers.quantities import read_quantity
from stages.verifiers.units import unit_of

ASIDE = re.compile(
    r",\s*(?:which|so that|because|since|where|meaning|as|with|having|after|given|not"
    r"|not counting|rather|instead)\b.*$|\s*[(（](?:that is|i\.e\.|since|because|namely|which"
    r"|where|not|as|with|由于|因为|即)"
    r"[^()（）]*[)）]\s*$",
    re.IGNORECASE | re.DOTALL,
)
NOTHING = re.compile(
    r"no (?:real )?solution|real numbers|empty set|does not exist|infinit"
    r"|无解|空集|全体实数|不存在",
    re.IGNORECASE,
)
"""What a question for numbers may be answered with all the same."""
OPENING = re.compile(
    r"^(?:(?:so|thus|hence|therefore|then|finally)\b|综上(?:所述)?|因此|所以|[故应]填|故"
    r"|由此(?:可得)?|解得|可得)[,，:：]?\s*"
    r"(?:we (?:get|have|find|obtain)\s+)?",
    re.IGNORECASE,
)
NOT_BUT = re.compile(
    r"\b(?:not|isn't)\s+[^,;。]{1,40}?,?\s+(?:but\s+(?:rather\s+|is\s+|it is\s+)?|which\s+is\s+)"
    r"|不是[^,，;。]{1,20}[,，]?而是",
    re.IGNORECASE,
)
TICKS = re.compile(r"(?<=\w)[\s.*]*[✓✅☑✔🎉️]+\s*$")
QUESTION = re.compile(r"[?？]\W*$|\bwhether\b|\basks?\b", re.IGNORECASE)
GRADING = re.compile(
    r"\b(?:student|rewards?|reference answer|standard answer|model answer|ground truth|judge?ment"
    r"|grader?|score)\b",
    re.IGNORECASE,
)
"""Talk about grading is no answer."""
DENIED = re.compile(
    r"不(?:是|等于|为|应)|并非|≠|\\neq?\b|\b(?:is|are|was|be)(?: not|n't)\b|\bnot equal\b"
    r"|\b(?:cannot|can't|can not) be\b"
)
CLAUSES = re.compile(r"\s*[;；，]\s*|,\s+")
BULLET = re.compile(r"^(?:>\s+|[-*•]\s+|∴\s*|\$?\\therefore\s*)+")
CLAUSE = re.compile(
    r"\s(?:when|if|because|since|after|before|whenever|with|for which"
    r"|for (?:the|all|each|every|both)|to (?:get|reach|arrive|finish|complete|make))\s",
    re.IGNORECASE,
)
MONTH_OR_DAY = re.compile(
    r"\b(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)\b"
)
EQUATIONS = re.compile(
    r"[a-zA-Z]\w?\s*=\s*[^\s,，;或和与]{1,40}(?:\s*(?:,|，|;|\bor\b|\band\b|或|和)\s*(?:and |or )?"
    r"[a-zA-Z]\w?\s*=\s*[^\s,，;或和与]{1,40})+$"
)
NEARLY = re.compile(r"(?<![^\s=≈$])[^\s=≈$]{1,60}\s?≈\s?[\d.]{1,40}$")
JOINED = re.compile(r"[\s,;]*(?:and|or|,|;|和|或|、)?[\s,]*")
LISTED = re.compile(r"\d+(?:\s+\d+){2,}")
MATH_ONLY = re.compile(r"[^A-Za-z\u4e00-\u9fff]*(?:\\neq?|≠)[^\u4e00-\u9fff]*")
GUARDED = re.compile(
    r"\b(?:not|never|no|wrong|at least|at most|more|less|or)\b|n't|[?\"']|不", re.IGNORECASE
)
"""With these about, a number in a short phrase may be anything but the answer."""
WORDED = frozenset({"text", "yes/no", "choice"})
"""Kinds of gold answers that a text without a figure or formula can match."""
NUMERIC = frozenset(["number", "formula", "several", "ratio", "time", "set", "tuple"])
COMPARED = re.compile(
    r"\b(?:greater|less|more|fewer|larger|smaller|bigger|longer"
    r"|shorter) than\s*[\\$(]*-?\d|(?:大于|小于|超过|不足)\s*\d",
    re.IGNORECASE,
)
"""A bound is no value."""
HAN = re.compile("[\u4e00-\u9fff]")
MATH = re.compile(
    r"(?<![\\$])\$([^$\n]{1,300})(?<!\\)\$|\\\((.{1,300}?)\\\)|\\\[(.{1,600}?)\\\]"
    r"|\$\$(.{1,600}?)\$\$",
    re.DOTALL,
)
PLACED = re.compile(r"^(?:located )?(?:at|to|by|the point)\s+(?=[(\d$\\-])")
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
NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.,+*/^(){}-])(?P<number>(?:[$€£¥]"
    r"|\\\$)?[-−+]?\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+)?"
    r"(?:\s*[:：]\s*\d+)?(?:e[+-]?\d+)?)(?P<unit>\s?(?:%|\\%|°[CF]?|º|€|m²|m³|cm²|cm³"
    r"|[a-zµ]{1,2}(?:[²³]|\^\d)?(?:/[a-z]+)?"
    r"|[A-Z]{1,2}(?![a-z])|(?:square |cubic )?(?:meters?|inches|feet|miles|hours?|minutes?"
    r"|seconds?|degrees?|percent|dollars|"
    r"yuan|grams|days|years|units|points)|[\u4e00-\u9fff]{1,2}))?(?![A-Za-z0-9_(*/])"
)
BETWEEN = re.compile(r"\bbetween\s+(\$?\d[\d.,]*\$?)\s+and\s+(\$?\d[\d.]*\$?)", re.IGNORECASE)
LONGEST_PHRASE = 160
LONGEST_SENTENCE = 1000
SHORT_PHRASE = 40
CODE = re.compile(r"\bif\b.*\belse\b|__\w+__|\b\w+\(\)|\bimport \w|\b[a-zA-Z]\w*\.[a-z]\w+\(")


def stated(sentence: str, kind: str) -> str | None:
    """The answer that a sentence states; None where it states none, or leaves it open.

    Args:
        sentence: without what follows it.
        kind: of the gold answer.
    """
    sentence = sentence[-LONGEST_SENTENCE:]
    plain = BULLET.sub("", sentence.replace("**", "").strip()).strip("*_ ").rstrip(".。")
    plain = NOT_BUT.sub("", TICKS.sub("", plain))
    if not plain or HEDGED.search(plain) or CODE.search(plain) or QUESTION.search(plain):
        return None
    if kind not in WORDED and GRADING.search(plain):
        return None
    if DENIED.search(plain):
        kept = [part for part in CLAUSES.split(plain) if part.strip() and not DENIED.search(part)]
        plain = kept[-1].strip() if kept else plain
    if DENIED.search(plain) and len(plain) <= LONGEST_PHRASE and not MATH_ONLY.fullmatch(plain):
        return plain if kind == "text" or re.search(r"\\neq|≠", plain) else None
    plain = OPENING.sub("", ASIDE.sub("", plain))
    clause = CLAUSE.search(plain)
    if clause and re.search(r"\d|\\", plain[: clause.start()]):
        plain = plain[: clause.start()]
    if kind == "time" and (named := MONTH_OR_DAY.findall(plain)) and not NUMBER.search(plain):
        return str(named[-1])
    if LISTED.fullmatch(plain):
        return plain
    if COMPARED.search(plain):
        return plain if len(plain) <= LONGEST_PHRASE else None
    if match := BETWEEN.search(plain):
        return f"{match[1]} and {match[2]}".rstrip(".")
    answer = _found(plain, kind)
    if answer and kind not in WORDED and not re.search(r"[\d\\=<>^/+*]", answer):
        symbol = kind not in ("number", "ratio", "time") and len(answer) <= 2
        return answer if symbol or _is_quantity(answer) or NOTHING.search(answer) else None
    return answer


def clause_asked_for(line: str, question: str) -> str:
    """Of clauses that state several values, the one whose subject the question names."""
    parts = [part for part in CLAUSES.split(line) if VERB.search(part)]
    if len(parts) < 2:
        return line
    heads = [re.sub(r"\W+|因此|所以|故|the", "", VERB.split(part, maxsplit=1)[0]) for part in parts]
    plain = re.sub(r"\W+|the", "", question)
    asked = [
        part for part, head in zip(parts, heads, strict=True) if len(head) > 1 and head in plain
    ]
    return asked[0] if len(asked) == 1 else line


def _found(plain: str, kind: str) -> str | None:
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
    if kind in SEVERAL and (match := EQUATIONS.search(plain)):
        return match[0]
    counted = kind in NUMERIC and words and NUMBER.search(plain) and not _is_quantity(plain)
    counted = counted and not GUARDED.search(plain)
    short = len(plain) <= SHORT_PHRASE and len(words) <= 3 and len(han) <= 4
    if short and not counted and not VERB.search(MATH.sub(" ", plain)):
        return plain
    verbless = not VERB.search(plain) or "=" in plain
    if not words and verbless and len(han) <= 2 and len(plain) <= SHORT_PHRASE and not spans:
        return plain
    worded = plain.rsplit(" ", 1)[-1]
    if kind in NUMERIC and worded.isalpha() and len(worded) > 2 and _is_quantity(worded):
        return worded
    if spans:
        last = spans[-1]
        rest = plain[last.end() :]
        content = next(part for part in last.groups() if part)
        if NUMBER.search(rest) is None:
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
    verbs = list((COPULA if kind == "text" else VERB).finditer(plain))
    end = plain[verbs[-1].end() :].strip() if verbs else ""
    if "≈" in plain and (nearly := NEARLY.search(plain)):
        return nearly[0]
    numbers = list(NUMBER.finditer(plain))
    wordy = kind in NUMERIC and numbers and not re.search(r"[\d\\]", end)
    end = PLACED.sub("", end)
    if end and len(end) <= SHORT_PHRASE and not wordy:
        if len(end.split()) <= 3 or not NUMBER.search(end):
            return end.strip("*_ ")
    if numbers:
        return _with_unit(numbers[-1])
    if end and len(end) <= LONGEST_PHRASE:
        return end
    return plain if len(plain) <= LONGEST_PHRASE and (words or han) else None


def _is_quantity(text: str) -> bool:
    quantity = read_quantity(tidy(text))
    return quantity is not None and quantity.literal is not None


def _with_unit(match: re.Match[str]) -> str:
    """A number in a sentence, with the word after it if that is a unit."""
    number = match["number"].strip().rstrip(",")
    unit = (match["unit"] or "").strip()
    return f"{number} {unit}" if unit not in ("", "in", "a") and unit_of(unit) else number
