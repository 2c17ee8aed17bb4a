"""The option letter that a sentence settles on."""

import re

LETTER = r"\(?\*{0,2}\(?([A-J])\)?\*{0,2}\)?"
CHOOSING = re.compile(
    rf"(?i:leaving|leaves|left with|choose|select|pick|go with|选择?|option|choice"
    rf"|选项)\s*(?i:only|us with"
    rf"|option|choice|answer|:|：)?\s*{LETTER}(?![A-Za-z'])"
)
ONLY = re.compile(
    rf"\b(?i:only)\s+(?i:option |choice )?{LETTER}\s+(?i:satisfies|fits|works|holds|matches"
    r"|meets|remains|agrees|survives|is (?:left|correct|right|true|possible|consistent)"
    r"|can be (?:true|right|correct)|makes sense)\b"
)
ONLY_HAN = re.compile(r"只有\s*([A-J])\s*选?项?\s*(?:正确|成立|符合|满足)")
IT_IS = re.compile(rf"(?:^|\W){LETTER} it is\W*$")
CALLED_RIGHT = re.compile(
    rf"{LETTER}\s*(?:选项)?,?\s*(?i:is|为|是)\s*(?i:the )?"
    r"(?i:correct|right|answer|best|only (?:one|option|choice)|正确"
    r"|one(?=\s*[.,;!]|\W*$|\s(?:we|you) (?:want|need|seek)|\s(?:that|which) (?:works|fits|matches"
    r"|satisfies|is (?:correct|right|true))\b))"
)
FITS = re.compile(rf"{LETTER}\s*选?项?\s*(?:正确|符合)")
AT_START = re.compile(
    rf"^\W*{LETTER}(?!\s*[、,，/]\s*[A-J](?![A-Za-z]))"
    r"(?:\s*[.:：、)）,，]|\s*$|\s+(?:because|since|as)\b)"
)
AT_END = re.compile(rf"[\s,，:：]{LETTER}\W*$")
LETTER_RULES = (CHOOSING, ONLY, ONLY_HAN, IT_IS, CALLED_RIGHT, FITS, AT_START, AT_END)
IF_ALONE = (CALLED_RIGHT, FITS, AT_END)
"""Rules that say nothing where a sentence names several options."""
PRONOUN = re.compile(
    r"\bI (?!is\b|was\b|and\b|or\b|because\b|since\b|as\b)(?=[a-z])|\bI(?=['’][a-z])"
)
IN_BRACKETS = re.compile(r"[(（]([a-j])[)）]")
"""A letter as questions write it whose options are `(a)` and `(b)`."""
SET_ASIDE = re.compile(r"(?:\bnot|n't|不是|不)\s*(?:option\s*|be\s*|选)?$", re.IGNORECASE)
ALL_BUT = re.compile(
    r"\b(?:all|every\w*|each)\b[^,.;]{0,40}\b(?:but|except|apart from|other than)\b", re.IGNORECASE
)
ANY_LETTER = re.compile(r"(?<![A-Za-z\\])([A-J])(?![A-Za-z'])")
OUT = re.compile(
    r"[A-J]\s*选?项?\s*(?:错误|错|不正确|不对|不符合?)[^;；,，。.]*|"
    r"(?:options?|choices?)?\s*[A-J](?:\s*(?:,|and|or)\s*[A-J]){0,9}\s+"
    r"(?:can be|are|is|was|were)\s+"
    r"(?:eliminated|ruled out|wrong|incorrect|not)[^.;]*?(?=,|;|\.|$)|"
    r"\b(?:eliminate|rule out|exclude|reject|discard|cross out|排除)s?\s*"
    r"(?:options?|choices?|选项)?\s*"
    r"\(?[A-J]\)?(?:(?:,? and |,? or |, ?|、|和)\(?[A-J]\)?){0,9}(?![A-Za-z'])",
    re.IGNORECASE,
)
HEDGED = re.compile(
    r"\beither\b.{0,160}\bor\b"
    r"|\b(?:it|there|answer|value|this|[a-z])\s(?:could|might|may) (?:also )?be\b"
    r"|\b(?!that\b|which\b|who\b)\w+ (?:might|may) be (?!\w+(?:ed|en)\b)"
    r"|\bcould also be\b|\b(?:also|equally) (?:be )?"
    r"(?:right|correct|possible|valid|plausible|true)\b"
    r"|\b(?:perhaps|possibly|maybe|not sure|unsure|unable to|not enough information|don't know"
    r"|(?:cannot|can't|can not) be (?:determined|decided|found|known|answered)"
    r"|(?:not possible|impossible) to|i (?:can't|cannot|can not))\b"
    r"|\bif\b.{1,40}\bwere\b|\b(?:I|we)(?:'ve| have|'ll| will| must)? (?:give|gave|given) up\b|放弃"
    r"|\b(?:if i had to|my|best|a|i(?:'d|'ll)?|will have to|would)(?: \w+)? guess\b"
    r"|(?<!不)可能(?:是|选|为)|不确定|无法|也许|或许"
    r"|\b(?:I|we|one)(?:'d| would)? (?:need|require|want|have to (?:see|know|have))\b.{1,80}"
    r"\b(?:before|in order to|to (?:answer|determine|solve|count|know|tell|decide"
    r"|be (?:sure|able|certain)))\b"
    r"|\b(?:remains?|stays?) (?:unclear|unknown|open|undetermined|uncertain)\b"
    r"|\bno (?:conclusion|answer|verdict) (?:is|can be)\b"
    r"|\bplease (?:provide|upload|share|send|attach)\b"
    r"|需要?.{0,30}才[能可](?:以)?(?:确定|判断|回答|求|计算|知道)|请提供|请上传",
    re.IGNORECASE,
)
DENYING = re.compile(r"\b(?:not|neither|nor)\b|n't\b|不", re.IGNORECASE)
SEVERAL_RIGHT = re.compile(
    r"((?:(?<![A-Za-z])[A-J](?:, and |,? ?and |, ?|、|和| ?& ?)){1,9}[A-J])"
    r"\s*(?:are|is|都是?|均为?|是|为)?"
    r"\s*(?:(?:all |both )?(?:the )?(?:correct|true|right|valid|answers?|正确|成立|对|可以?)"
    r"|hold|work|apply|satisfy|fit)"
)
"""Several letters at once, `B and D are correct`."""


def settled_letter(line: str) -> str | None:
    """The option that a sentence settles on; None where it names none, or several."""
    if re.match(r"^\W*[A-J](?:\s*[/,、]\s*[A-J])+\W*$", line):
        return line
    several = SEVERAL_RIGHT.search(line)
    if several and not HEDGED.search(line) and not DENYING.search(line[: several.end()]):
        return several[1]
    if HEDGED.search(line) or ALL_BUT.search(line):
        return None
    plain = PRONOUN.sub("we ", OUT.sub(" ", line))
    if not ANY_LETTER.search(plain):
        plain = IN_BRACKETS.sub(lambda match: f"({match[1].upper()})", plain)
    named = set(ANY_LETTER.findall(re.sub(r"\bA (?!or\b|and\b|is\b)(?=[a-z])", " ", plain)))
    for rule in LETTER_RULES:
        match = rule.search(plain)
        if match and SET_ASIDE.search(plain[: match.start() + 1]):
            continue
        if match and (len(named) <= 1 or rule not in IF_ALONE):
            rest = plain[match.end() :].strip()
            if rule is AT_START and rest and len(plain) < 80 and not rest[:1].isupper():
                return plain
            return match[1]
    return None
