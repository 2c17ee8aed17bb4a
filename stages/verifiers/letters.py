"""The option letter that a sentence settles on."""

import re

LETTER = r"\(?\*{0,2}\(?([A-J])\)?\*{0,2}\)?"
LETTER_RULES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?i:leaving|leaves|left with|choose|select|pick|go with|选择?|option|choice"
        rf"|选项)\s*(?i:only|us with"
        rf"|option|choice|answer|:|：)?\s*{LETTER}(?![A-Za-z'])",
        rf"{LETTER}\s*(?:选项)?\s*(?i:is|为|是)\s*(?i:the )?(?i:correct|right|answer|best|正确)",
        rf"{LETTER}\s*选?项?\s*(?:正确|符合)",
        rf"^\W*{LETTER}(?:\s*[.:：、)）,，]|\s*$|\s+(?:because|since|as)\b)",
        rf"[\s,，:：]{LETTER}\W*$",
    )
)
SET_ASIDE = re.compile(r"(?:\bnot|n't|不是|不)\s*(?:option\s*|be\s*)?$", re.IGNORECASE)
ANY_LETTER = re.compile(r"(?<![A-Za-z\\])([A-J])(?![A-Za-z'])")
OUT = re.compile(
    r"[A-J]\s*选?项?\s*(?:错误|错|不正确|不对|不符合?)[^;；,，。.]*|"
    r"(?:options?|choices?)?\s*[A-J](?:\s*(?:,|and|or)\s*[A-J]){0,9}\s+"
    r"(?:can be|are|is|was|were)\s+"
    r"(?:eliminated|ruled out|wrong|incorrect|not)[^.;]*?(?=,|;|\.|$)",
    re.IGNORECASE,
)
HEDGED = re.compile(
    r"\beither\b.{0,160}\bor\b|\b(?:it|answer|value|this|[a-z])\s(?:could|might|may) (?:also )?be\b"
    r"|\bcould also be\b|\b(?:also|equally) (?:be )?"
    r"(?:right|correct|possible|valid|plausible|true)\b"
    r"|\b(?:perhaps|possibly|maybe|not sure|unsure|unable to|not enough information|don't know"
    r"|(?:cannot|can't|can not) be (?:determined|decided|found|known|answered)"
    r"|(?:not possible|impossible) to|i (?:can't|cannot|can not))\b"
    r"|\bif\b.{1,40}\bwere\b"
    r"|\b(?:if i had to|my|best|a|i(?:'d|'ll)?|will have to|would) guess\b|可能是|不确定|无法",
    re.IGNORECASE,
)
SEVERAL_RIGHT = re.compile(
    r"((?:\b[A-J](?:, and |,? ?and |, ?|、|和| ?& ?)){1,9}[A-J])\s*(?:are|is|都?是|均?为)?"
    r"\s*(?:all |both )?(?:the )?(?:correct|true|right|answers?|正确)"
)
"""Several letters at once, `B and D are correct`."""


def settled_letter(line: str) -> str | None:
    """The option that a sentence settles on; None where it names none, or several."""
    if re.match(r"^\W*[A-J](?:\s*[/,、]\s*[A-J])+\W*$", line):
        return line
    if (several := SEVERAL_RIGHT.search(line)) and not HEDGED.search(line):
        return several[1]
    plain = OUT.sub(" ", line)
    named = set(ANY_LETTER.findall(re.sub(r"\bA (?!or\b|and\b|is\b)(?=[a-z])|\bI\b", " ", plain)))
    if HEDGED.search(plain):
        return None
    for rule in LETTER_RULES:
        match = rule.search(plain)
        if match and SET_ASIDE.search(plain[: match.start() + 1]):
            continue
        if match and (len(named) <= 1 or rule not in (*LETTER_RULES[1:3], LETTER_RULES[4])):
            rest = plain[match.end() :].strip()
            if rule is LETTER_RULES[3] and rest and len(plain) < 80 and not rest[:1].isupper():
                return plain
            return match[1]
    return None
