"""Answers that are taken back: `The answer is 5. Wait, that's wrong; it is 6`."""

import re

START = r"(?:^|(?<=[.!?。！？;；…\n)]))[\s$*\])}\\.,;:]{0,12}"
OPENING = re.compile(
    START + r"(?:(?:but|and|oh|hmm+|ah|um+)\b[\s,.…]*){0,3}"
    r"(?:(?:no,? )?wait\b|edit\b(?=\s*:)"
    r"|hold on\b|oops\b|sorry\b|apologies\b|correction\b|scratch that\b|actually\b"
    r"|on second thoughts?\b|no\b(?=\s*[,.:;!—-])|(?:(?:that|this|it|which)(?:'s| is| was)"
    r"|^is|^was|turns out to be) (?:wrong|incorrect|not (?:right|correct|the answer)"
    r"|an? (?:error|mistake))(?! (?:to|that|for)\b)"
    r"|i (?:made|misread|mis\w+|was wrong)\b"
    r"|等等|等一下|不对|不[,，]|更正|其实|抱歉|对不起|哦|算错|错了|我(?:算|看|弄)错)",
    re.IGNORECASE,
)
FAULT = re.compile(
    r"\b(?:wrong|incorrect|mistakes?|mistaken|errors?|misread|miscounted|miscalculated|misplaced"
    r"|oops|correction|edit(?=\s*:)"
    r"|I (?:used|took|counted|missed|overlooked|swapped)|scratch that|not right|not correct"
    r"|forg[eo]t(?:ten)?(?! to (?:mention|say|note)\b)"
    r"|need to (?:halve|double|divide|multiply|subtract|add))\b|^\W*wait\W+no\b|^\W*no\W*$"
    r"|不对|错了|错误|更正|[算看弄数]错|忘[了记]|^\W*不[,，]",
    re.IGNORECASE,
)
"""What takes back the answer before it, whether or not another one follows."""
NO_FAULT = re.compile(
    r"\b(?:no|not|any|isn't|without|avoid|common|whether|if|would|nothing)\b[^.;,]{0,24}"
    r"(?:wrong|incorrect|mistakes?|errors?)\b|没有?[^。，,]{0,6}错|对的|正确",
    re.IGNORECASE,
)
VALUE = r"[*_\s$]{0,4}(?P<value>\\?[-−+(\[{√\d$\\].*|[A-J]\b(?!').*|[a-zA-Z]\s?=.*)"
WORDS = r"[*_\s]{0,4}(?P<words>[\w' -]{1,40}|[\u4e00-\u9fff]{1,12})"
SUBJECT = (
    r"(?:\b(?:the )?(?:correct |right |actual |real |true |final |proper )?(?:answer|value|result"
    r"|option|choice|number|total)\b"
    r"|\b(?:it|that|this)\b|\bI meant?(?= )|答案|结果|正确(?:答案|选项)|^)"
)
SHOULD = (
    r"\s*(?:(?:should|must|has to|ought to) (?:actually |really |instead )?(?:be|read)"
    r"|应该?[是为选]?)"
)
STATES = re.compile(
    rf"{SUBJECT}(?:\s*(?:is|are|was|=|equals|[:：是为选]|'s|(?<=mean)|(?<=meant))|{SHOULD})"
    rf"(?:\s*(?:actually|really|instead|in fact|therefore|[:：]))*\s*(?:{VALUE}|{WORDS}\W*$)",
    re.IGNORECASE | re.DOTALL,
)
SAYS = re.compile(
    rf"(?:=|\b(?:is|are|gives?|get|equals|be)\b|[是为得选]|等于)\s*{VALUE}",
    re.IGNORECASE | re.DOTALL,
)
"""What a sentence says after it has been owned that something was wrong."""
CALLED = re.compile(
    r"(?P<value>\(?[A-J]\)?|-?\d[\d./]*) (?:is|would be) (?:the )?(?:correct|right|answer)|"
    r"(?P<han>[A-J]|-?\d[\d./]*)(?:才)?是?(?:正确|对)的?",
)
BARE = re.compile(r"\W*(?P<value>\(?[A-J]\)?|[-−]?[\d$\\][^\s,;，；。]{0,60})\W*")
SENTENCE = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])|\n+")
DENIED = re.compile(r"\b(?:not|n't|never)\b|n't\b|不(?![对,，])", re.IGNORECASE)
LONGEST = 1200
"""Characters behind an answer in which it is taken back."""
MOST_SENTENCES = 3
"""After owning a mistake; what comes later is another matter."""


def taken_back(rest: str, kind: str, start: int = 0) -> str | None:
    """What replaces an answer that the text behind it takes back.

    Args:
        rest: what follows the answer.
        kind: of the gold answer.
        start: from where on it may be taken back.

    Returns:
        The text from the new answer on; empty where there is none; None: nothing is taken back.
    """
    rest = rest[:LONGEST]
    openings = list(OPENING.finditer(rest, start))
    if not openings:
        return None
    withdrawn = False
    for opening in reversed(openings):
        said = SENTENCE.split(rest[opening.start() :].lstrip(" \n$*)]}\\.,;:"))
        is_fault = any(map(FAULT.search, said[:2])) and not any(map(NO_FAULT.search, said[:2]))
        if found := _stated(said, kind, is_fault):
            return found
        withdrawn = withdrawn or is_fault
    return "" if withdrawn else None


def _stated(said: list[str], kind: str, is_fault: bool) -> str | None:
    """The last answer that sentences of a correction state; None: they state none."""
    for sentence in reversed(said[: MOST_SENTENCES if is_fault else 1]):
        plain = OPENING.sub("", sentence, count=1).lstrip(" ,.:，：;!—-")
        if DENIED.search(plain.split(",")[0]):
            continue
        if match := CALLED.search(plain):
            return match["value"] or match["han"]
        match = STATES.search(plain) or (SAYS.search(plain) if is_fault else None)
        found = (match["value"] or (kind in ("text", "yes/no") and match["words"])) if match else ""
        if found:
            return str(found)
        if match := BARE.fullmatch(plain):
            return match["value"]
    return None
