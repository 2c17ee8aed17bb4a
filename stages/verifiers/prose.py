"""The answer in a closing line or sentence, for responses that put it in no box or tag."""

import re

LETTER = r"\(?\*{0,2}\(?([A-J])\)?\*{0,2}\)?"
LETTER_RULES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?i:leaving|leaves|left with|choose|select|pick|go with|选择?|option|choice|选项)\s*(?i:only|us with"
        rf"|option|choice|answer|:|：)?\s*{LETTER}(?![A-Za-z'])",
        rf"{LETTER}\s*(?:选项)?\s*(?i:is|为|是)\s*(?i:the )?(?i:correct|right|answer|best|正确)",
        rf"^\W*{LETTER}(?:\s*[.:：、)）]|\s*$)",
    )
)
ANY_LETTER = re.compile(r"(?<![A-Za-z\\])([A-J])(?![A-Za-z'])")
OUT = re.compile(
    r"(?:options?|choices?)?\s*[A-J](?:\s*(?:,|and|or)\s*[A-J])*\s+(?:can be|are|is|was|were)\s+"
    r"(?:eliminated|ruled out|wrong|incorrect|not)[^.;]*?(?=,|;|\.|$)",
    re.IGNORECASE,
)
HEDGED = re.compile(
    r"\b(?:either|could (?:also )?be|might be|may be|perhaps|possibly|not sure|unsure|maybe|i (?:can't|"
    r"cannot|can not)|unable to|not enough information|don't know|it is unclear)\b|可能是|不确定|无法",
    re.IGNORECASE,
)
CLOSING = re.compile(r"\s*(?:I hope (?:it|this) is correct|Hope this helps|Let me know[^.]*)[.!]?\s*", re.IGNORECASE)
MATH = re.compile(r"(?<![\\$])\$([^$\n]{1,300})(?<!\\)\$|\\\((.{1,300}?)\\\)|\\\[(.{1,600}?)\\\]|\$\$(.{1,600}?)\$\$", re.DOTALL)
VERB = re.compile(
    r"(?:\b(?:is|are|was|were|be|equals?|becomes|get|gives|obtain|have|has|means)\b|=|≈|[为是得]|等于)"
    r"(?:\s*(?:therefore|thus|approximately|about|roughly|exactly|equal to|simply|just|only|now|then"
    r"|[:：]))*\s*",
)
NUMBER = re.compile(
    r"(?<![\w.,+*/^(){}-])(?P<number>(?:[$€£¥]|\\\$)?[-−+]?\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+)?"
    r"(?:\s*[:：]\s*\d+)?(?:e[+-]?\d+)?)(?P<unit>\s?(?:%|\\%|°[CF]?|º|€|m²|m³|cm²|cm³|[a-zµ]{1,2}(?:[²³]|\^\d)?(?:/[a-z]+)?"
    r"|[A-Z]{1,2}(?![a-z])|(?:square |cubic )?(?:meters?|inches|feet|miles|hours?|minutes?|seconds?|degrees?|percent|dollars|"
    r"yuan|grams|days|years|units|points)|[\u4e00-\u9fff]{1,2}))?(?![\w(*/])"
)
BETWEEN = re.compile(r"\bbetween\s+(\S+)\s+and\s+(\S+?)[.,]?(?:\s|$)", re.IGNORECASE)
LABELLED = re.compile(r"[\w\s-]{1,24}[:：]\s*(.+)")
SENTENCE = re.compile(r"(?<=[^\d\s][.!?])\s+(?=[A-Z\\$*(])|(?<=\d[.!?])\s+(?=[A-Z*])|(?<=[。！？])")
LONGEST_PHRASE = 160
SHORT_PHRASE = 40
CODE = re.compile(r"[_{}]{2}|\w\(\)|;\s*$|import |\w\.\w+\(")


def closing_answer(text: str, question: str = "", letters: bool = False) -> str | None:
    """The answer that the last line or sentence of a response comes to, or None.

    Args:
        text: what follows the thinking, without boxes.
        question: what was asked, for the form it asks for.
        letters: whether the answer is to be an option's letter.
    """
    text = CLOSING.sub("\n", text).strip()
    if not text:
        return None
    if "bracket" in question.lower() and (marked := re.findall(r"\[([^\[\]]{1,80})\]", text)):
        return str(marked[-1])
    lines = [line.strip() for line in text.splitlines() if line.strip(" \t*-_#`")]
    if not lines:
        return None
    if (display := re.search(r"(?:\\\[|\$\$)\s*(.{1,600}?)\s*(?:\\\]|\$\$)\s*\W*$", text, re.DOTALL)) and "\n\n" not in display[1]:
        return display[1].strip()
    if len(lines) >= 2 and all(LABELLED.fullmatch(line.strip("*- ")) for line in lines[-2:]):
        return "; ".join(line.strip("*- ") for line in lines[-2:])
    if lines[-1].strip("*# ").endswith((":", "：")):
        return None
    return phrase(lines[-1], letters)


def phrase(line: str, letters: bool = False) -> str | None:
    """The answer in one line: all of it if it is short, else what its last sentence states."""
    line = CLOSING.sub(" ", line).strip()
    if letters and (found := _letter(line)):
        return found
    sentences = [part for part in SENTENCE.split(line) if part.strip(" *_")]
    if not sentences:
        return None
    return _stated(sentences[-1].strip())


def first_phrase(text: str, letters: bool = False) -> str | None:
    """The answer right after a marker such as `Final answer:`; it comes first, reasons later."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip(" \t*-_#`$")]
    if not lines:
        return None
    block = re.match(r"[*\s$]*(?:\\\[|\$\$)\s*(.{1,600}?)\s*(?:\\\]|\$\$)", text.strip(), re.DOTALL)
    if block:
        return block[1].strip()
    if len(lines) > 1 and all(LABELLED.fullmatch(line.strip("*- ")) for line in lines[:2]):
        return "; ".join(line.strip("*- ") for line in lines[:2])
    line = CLOSING.sub(" ", lines[0]).strip()
    if letters and (found := _letter(line)):
        return found
    sentences = [part for part in SENTENCE.split(line) if part.strip(" *_")]
    return _stated(sentences[0].strip()) if sentences else None


def _letter(line: str) -> str | None:
    """The option that a sentence settles on; None where it names none, or several."""
    if re.match(r"^\W*[A-J](?:\s*[/,、]\s*[A-J])+\W*$", line):
        return line
    plain = OUT.sub(" ", line)
    named = set(ANY_LETTER.findall(re.sub(r"\bA (?=[a-z])|\bI\b", " ", plain)))
    if HEDGED.search(plain):
        return None
    for rule in LETTER_RULES:
        match = rule.search(plain)
        if match and (len(named) <= 1 or rule is not LETTER_RULES[1]):
            rest = plain[match.end() :].strip()
            if rule is LETTER_RULES[2] and rest and len(plain) < 80 and not rest[:1].isupper():
                return plain
            return match[1]
    return None


def _stated(sentence: str) -> str | None:
    """What a sentence states: its end after a verb, its last formula, or its last number."""
    plain = sentence.strip().strip("*_ ").rstrip(".。")
    if not plain or HEDGED.search(plain) or CODE.search(plain):
        return None
    if match := BETWEEN.search(plain):
        return f"{match[1]} and {match[2]}".rstrip(".")
    words = re.findall(r"[A-Za-z]{3,}", re.sub(r"\\[a-zA-Z]+", " ", MATH.sub(" ", plain)))
    han = re.findall("[\u4e00-\u9fff]", plain)
    if len(plain) <= SHORT_PHRASE and len(words) <= 3 and len(han) <= 4 and not VERB.search(MATH.sub(" ", plain)):
        return plain
    spans = list(MATH.finditer(plain))
    if spans:
        last = spans[-1]
        rest = plain[last.end() :]
        content = next(part for part in last.groups() if part)
        if NUMBER.search(rest) is None:
            unit = re.match(r"\s*([a-z]{1,3}(?:\^?\d)?|square \w+|[a-z]+s)\b", rest)
            return content + (f" {unit[1]}" if unit and len(rest) < 24 else "")
    verbs = list(VERB.finditer(plain))
    end = plain[verbs[-1].end() :].strip() if verbs else ""
    if end and len(end) <= SHORT_PHRASE and (len(end.split()) <= 3 or not NUMBER.search(end)):
        return end.strip("*_ ")
    numbers = list(NUMBER.finditer(plain))
    if numbers:
        return numbers[-1][0].strip().rstrip(",")
    if end and len(end) <= LONGEST_PHRASE:
        return end
    return plain if len(plain) <= LONGEST_PHRASE and (words or han) else None
