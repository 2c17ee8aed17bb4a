"""What one sentence states: its end after a verb, its last formula, or its last number."""

import re

from stages.verifiers.boxes import SEVERAL
from stages.verifiers.clean import tidy
from stages.verifiers.letters import HEDGED
from stages.verifiers.numbers import SCALES
from stages.verifiers.quantities import compound, read_quantity
from stages.verifiers.text import words_of
from stages.verifiers.times import PAST
from stages.verifiers.units import unit_of

ASIDE = re.compile(
    r",\s*(?:which|so that|because|since|where|meaning|as|with|having|after|given|not"
    r"|not counting|rather|instead)\b.*$|\s*[(（](?:that is|i\.e\.|since|because|namely|which"
    r"|where|not|as|with|由于|因为|即)"
    r"[^()（）]*[)）]\s*$"
    r"|(?<=[\w})°])\s*[(（](?=[^()（）]*(?:[A-Za-z]{2,} [A-Za-z]{2,}|舍|不合|检验))"
    r"[^()（）]{8,}[)）]\s*$",
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
ANY_CLAUSE = re.compile(r"\s*[;；，,]\s*|\s(?:and|but|while|whereas)\s")
YEAR = re.compile(r"\b(?:1[5-9]|20)\d\d\b")
PERIOD = re.compile(
    r"(?<=\d)[^\d]{0,24}\b(?:from|between|during|in) (?:1[5-9]|20)\d\d(?: ?(?:to|and|-|–) ?\d{4})?$"
)
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
WORDY = re.compile("[A-Za-z]{4,}")
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
    r"(?:\s?(?:×|\\times|\*)\s?10\s?(?:\^\{?[-+−]?\d{1,3}\}?|[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,3}))?"
    r"(?:\s*[:：]\s*\d+)?(?:e[+-]?\d+)?)(?P<unit>\s?(?:%|\\%|°[CF]?|º|€|m²|m³|cm²|cm³"
    r"|[a-zµ]{1,2}(?:[²³]|\^\d)?(?:/[a-z]+)?"
    r"|[A-Z]{1,2}(?![a-z])|(?:square |cubic )?(?:meters?|inches|feet|miles|hours?|minutes?"
    r"|seconds?|degrees?|percent|dollars|million|billion|thousand|trillion|dozen|"
    r"yuan|grams|days|years|units|points)|[\u4e00-\u9fff]{1,2}))?(?![A-Za-z0-9_(*/])"
)
BETWEEN = re.compile(r"\bbetween\s+(\$?\d[\d.,]*\$?)\s+and\s+(\$?\d[\d.]*\$?)", re.IGNORECASE)
LONGEST_PHRASE = 160
LONGEST_SENTENCE = 1000
SHORT_PHRASE = 40
LEADING = re.compile(
    r"^(?:(?:when|if|for|since|with|because|given|after|substituting|at)\b|当)[^,，]{1,80}[,，]\s*"
    r"(?=.*[=\d])|^经检验[,，]",
    re.IGNORECASE,
)
SOLVES = re.compile(
    r"\s*(?:is|are) (?:indeed )?(?:the|an?|its) (?:only )?(?:unique )?(?:real )?"
    r"(?:solutions?|roots?|answers?)\b[^,;=]{0,60}$"
    r"|\s*[是为][^，,=]{0,6}(?:方程组?|不等式组?)?的(?:唯一)?(?:解集?|根)$"
)
"""`x = 3 is the only solution of the equation`"""
RANGE = re.compile(
    r"(?<!from )(?<![\w.])\d[\d.,]* ?(?:to|or|–|~|至|到|或) ?\d[\d.,]*(?![\w:/^])", re.IGNORECASE
)
BOUND = re.compile(
    r"\b(?:at (?:least|most)|no (?:more|fewer|less) than|up to|over|under|above|below)\s*"
    r"[\\$(]*-?\d"
    r"|(?:至少|至多|最多|最少|不少于|不多于)\D{0,6}\d",
    re.IGNORECASE,
)
EXTREME = re.compile(
    r"\b(?:at (?:least|most)|least|most|minimum|minimal|maximum|maximal|smallest|fewest|largest"
    r"|greatest|lowest|highest|need(?:ed|s)?)\b|最|至少|至多",
    re.IGNORECASE,
)
SAID_OF = re.compile(r"((?:[\w'-]+ ?){1,5}?) (?:is|are|was|were|has|have|had) ((?:[\w'-]+ ?){1,8})")
MEASURE = re.compile(
    r"\d+(?:\.\d+)? ?[A-Za-z]{1,8},?(?: and)? \d+(?:\.\d+)? ?[A-Za-z]{1,8}"
    r"(?:,?(?: and)? \d+(?:\.\d+)? ?[A-Za-z]{1,8})?"
)
OUT_OF = re.compile(r"(?<![\d.])\d{1,6} out of (?:every )?\d{1,6}(?![\d.])")
HAN_AT_END = re.compile(
    r"(?:[共只]?有|[为是得])([零一二两三四五六七八九十百千万分之]+)"
    r"(|[\u4e00-\u9fff]{1,7})$"
)
COUNTERS = frozenset("个只条人张种次块本颗件名位岁辆组对")
COUNTED = re.compile(
    r"(?<![\w-])(?:(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[- ](?:one|two|three"
    r"|four|five|six|seven|eight|nine))?|zero|two|three|four|five|six|seven|eight|nine|ten|eleven"
    r"|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen)(?![\w-])"
)
ITEM = r"(?:[^()\[\]{},;A-Za-z\\]|\\[a-z]{1,8}|[a-z](?![a-z])){1,40}"
CHUNK = rf"[(\[{{]{ITEM}(?:[,;]{ITEM}){{1,6}}[)\]}}]"
ENCLOSED = re.compile(rf"{CHUNK}(?: ?(?:∪|U|\\cup|,|or|and) ?{CHUNK}){{0,6}}")
"""Tuples and intervals in plain text."""
ENCLOSING = frozenset(["tuple", "region", "set", "several", "inequality"])
LIST_AT_END = re.compile(
    r"(?<![\w.,/^=+*-])-?\d[\d./]*(?:, ?-?\d[\d./]*){0,20},? ?(?:and|or|和|及|、) ?-?\d[\d./]*$"
)
CODE = re.compile(r"\bif\b.*\belse\b|__\w+__|\b\w+\(\)|\bimport \w|\b[a-zA-Z]\w*\.[a-z]\w+\(")


def stated(sentence: str, kind: str, question: str = "") -> str | None:
    """The answer that a sentence states; None where it states none, or leaves it open.

    Args:
        sentence: without what follows it.
        kind: of the gold answer.
        question: what was asked.
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
    plain = SOLVES.sub("", OPENING.sub("", ASIDE.sub("", plain)))
    if kind == "number" and any(year in question for year in YEAR.findall(plain)):
        plain = PERIOD.sub("", plain)
    if kind != "text":
        plain = LEADING.sub("", plain)
    clause = CLAUSE.search(plain)
    if clause and re.search(r"\d|\\", plain[: clause.start()]):
        plain = plain[: clause.start()]
    if kind == "time" and (found := _moment(plain, question)):
        return found
    if LISTED.fullmatch(plain):
        return plain
    if COMPARED.search(plain) or (kind == "number" and _is_bound(plain, question)):
        return plain if len(plain) <= LONGEST_PHRASE else None
    if kind == "text" and (subject := _subject(plain, question)):
        return subject
    match = BETWEEN.search(plain)
    if match and not VERB.search(plain, match.end()):
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


def _moment(plain: str, question: str) -> str | None:
    """The time, day or month that a sentence names in words; None: it names none."""
    if clock := PAST.search(plain):
        return clock[0]
    if NUMBER.search(plain):
        return None
    asked = set(words_of(question))
    clauses = [part for part in ANY_CLAUSE.split(plain) if MONTH_OR_DAY.search(part)]
    # The maximum was on Thursday, the minimum on Tuesday: the clause that is nearest the question.
    clauses.sort(key=lambda clause: len(asked & set(words_of(clause))))
    return MONTH_OR_DAY.findall(clauses[-1])[-1] if clauses else None


def _is_bound(plain: str, question: str) -> bool:
    """Whether a sentence says what a number lies above, below or between; so it may if asked to."""
    if RANGE.search(plain):
        return True
    return BOUND.search(plain) is not None and EXTREME.search(question) is None


def _subject(plain: str, question: str) -> str | None:
    """The subject of a sentence that says of it what was asked, `Line b is steeper`; else None."""
    match = SAID_OF.fullmatch(plain)
    if match is None or not question:
        return None
    asked, said = words_of(question), words_of(match[2])
    if not said or not set(said) <= set(asked) or set(words_of(match[1])) <= set(asked):
        return None
    return match[1]


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
    if kind in NUMERIC and (worded := _in_words(plain, kind)):
        return worded
    if kind in ENCLOSING and not spans and (enclosed := list(ENCLOSED.finditer(plain))):
        return enclosed[-1][0]
    if kind in SEVERAL and not spans and (listed := LIST_AT_END.search(plain)):
        return listed[0].strip()
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
    if kind in NUMERIC and (match := MEASURE.search(plain)) and compound(tidy(match[0])):
        return match[0]
    verbs = list((COPULA if kind == "text" else VERB).finditer(plain))
    end = plain[verbs[-1].end() :].strip() if verbs else ""
    if "≈" in plain and (nearly := NEARLY.search(plain)):
        return nearly[0]
    numbers = list(NUMBER.finditer(plain))
    wordy = kind in NUMERIC and numbers and not re.search(r"[\d\\]", end)
    if kind == "number" and numbers and WORDY.search(end) and not GUARDED.search(end):
        wordy = wordy or not _is_quantity(end)
    end = PLACED.sub("", end)
    if end and len(end) <= SHORT_PHRASE and not wordy:
        if len(end.split()) <= 3 or not NUMBER.search(end):
            return end.strip("*_ ")
    if numbers:
        return _with_unit(numbers[-1])
    if end and len(end) <= LONGEST_PHRASE:
        return end
    return plain if len(plain) <= LONGEST_PHRASE and (words or han) else None


def _in_words(plain: str, kind: str) -> str | None:
    """The number that a sentence without figures states in words; None where it has none."""
    if match := OUT_OF.search(plain):
        return match[0]
    if HAN.search(plain):
        match = HAN_AT_END.search(plain)
        if match is None or NUMBER.search(plain):
            return None
        unit = match[2]
        if unit and unit[0] not in COUNTERS and not unit_of(unit):
            return None  # a triangle is no three of anything
        return match[1] + (unit if unit_of(unit) else "")
    words = plain.split(" ")
    for count in (3, 2, 1):
        end = " ".join(words[-count:])
        if len(words) >= count and end[0].isalpha() and len(end) > 2 and _is_quantity(end):
            return None if words[-1].lower() in SCALES else end
    found = set(COUNTED.findall(plain))
    if NUMBER.search(plain) or GUARDED.search(plain) or len(found) != 1:
        return None
    return found.pop() if kind == "number" else None


def _is_quantity(text: str) -> bool:
    quantity = read_quantity(tidy(text))
    return quantity is not None and quantity.literal is not None


def _with_unit(match: re.Match[str]) -> str:
    """A number in a sentence, with the word after it if that is a unit."""
    number = match["number"].strip().rstrip(",")
    unit = (match["unit"] or "").strip()
    if unit in SCALES:
        return f"{number} {unit}"
    return f"{number} {unit}" if unit not in ("", "in", "a") and unit_of(unit) else number
