"""Answers that are taken back: `The answer is 5. Wait, that's wrong; it is 6`."""

import re

from stages.verifiers.choices.options import FALSE_ASKED, stem_of

START = r"(?:^|(?<=[.!?。！？;；…\n)]))[\s$*\])}\\.,;:]{0,12}"
OPENING = re.compile(
    START + r"(?:(?:but|and|oh|hmm+|ah|um+)\b[\s,.…]*){0,3}"
    r"(?:(?:no,? )?wait\b|edit\b(?=\s*:)"
    r"|hold on\b|oops\b|sorry\b|apologies\b|correction\b|scratch that\b|actually\b"
    r"|on second thoughts?\b|no\b(?=\s*[,.:;!—-])|(?:(?:that|this|it|which)(?:'s| is| was)"
    r"|is|was|turns out to be) (?:wrong|incorrect|false|untrue"
    r"|not (?:right|correct|true|the answer)|an? (?:error|mistake|trap|distractor))"
    r"(?! (?:to|that|for)\b)"
    r"|i (?:made|misread|mis\w+|was wrong)\b"
    r"|等等|等一下|不对|不[,，]|更正|其实|抱歉|对不起|哦|算错|错了|我(?:算|看|弄)错)",
    re.IGNORECASE,
)
FAULT = re.compile(
    r"\b(?:wrong|incorrect|mistakes?|mistaken|errors?|misread|miscounted|miscalculated|misplaced"
    r"|false|untrue|not true|trap|distractor|oops|correction|edit(?=\s*:)"
    r"|I (?:used|took|counted|missed|overlooked|swapped)|scratch that|not right|not correct"
    r"|forg[eo]t(?:ten)?(?! (?:nothing|to (?:mention|say|note))\b)"
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
ELSEWHERE = re.compile(
    r"\b(?:earlier|previous(?:ly)?|above|initial(?:ly)?|originally|at first|fixed|corrected|typos?"
    r"|first (?:attempt|try|draft|version)|wording|length)\b|\bformat"
    r"|\b(?:sorry|apolog\w+) (?:for|about)\b"
    r"|前面|之前|上面|上述|一开始|起初|最初|开头|格式",
    re.IGNORECASE,
)
"""A mistake that was made on the way, and that the answer need not have."""
OF_ANSWER = re.compile(
    r"\b(?:answers?|results?|values?|conclusion|option|choice|box(?:ed)?|final)\b|答案|结果|结论|选项",
    re.IGNORECASE,
)
STANDS = re.compile(
    r"\b(?:answer|result|value|conclusion)\b[^.;]{0,20}?\b(?:stands|holds|(?:is|was|remains|stays)"
    r" (?:still |indeed |also )?(?:correct|right|fine|unchanged|unaffected|the same))\b"
    r"|\b(?:not|n't) (?:affect|change) the (?:\w+ )?(?:answer|result|value|conclusion)\b"
    r"|(?:答案|结果|结论)[^。;；]{0,8}(?:无误|不变|不受影响|仍|没有?问题)|不影响",
    re.IGNORECASE,
)
UNREAL = re.compile(
    r"\bif\b[^.;]*\b(?:were|would|had)\b|\b(?:were|would)\b[^.;]*\bif\b|\bunless\b"
    r"|\b(?:is|are|be|gives?|=)\s[^,;]{1,40}?(?<!that) if (?!(?:we|you|I|one)\b)",
    re.IGNORECASE,
)
"""What would be so in another case."""
SUPPOSED = re.compile(r"如果|假如|倘若|要是|(?:^|[,，])若")
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
CONCLUDED = re.compile(
    r"(?:\b(?:answer|option|choice)\s*(?:is|should be|must be)"
    r"|(?:正确)?(?:答案|选项)应?该?[是为选])(?:\s*(?:actually|therefore|option|[:：]))*"
    r"[\s*]*(?P<value>\(?(?-i:[A-J])(?![A-Za-z']).*|[-−]?[\d$\\].*)",
    re.IGNORECASE | re.DOTALL,
)
"""The end of a recheck, some sentences on."""
RECHECKED = re.compile(r"(?:no,? )?wait\b|hold on\b|等", re.IGNORECASE)
NOT_CONCLUDED = re.compile(
    r"\b(?:if|whether|thought|think|say|said|claim\w*|would|could|might|there|case)\b"
    r"|如果|以为|可能|是否|[若不]",
    re.IGNORECASE,
)
POINTING = re.compile(r"(?:that|this|it|which|is|was)\b", re.IGNORECASE)
SENTENCE = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])|\n+")
DENIED = re.compile(r"\b(?:not|n't|never)\b|n't\b|不(?![对,，])", re.IGNORECASE)
LONGEST = 1200
"""Characters behind an answer in which it is taken back."""
MOST_RECHECKED = 6
MOST_SENTENCES = 3
"""After owning a mistake; what comes later is another matter."""


def taken_back(rest: str, kind: str, start: int = 0, question: str = "") -> str | None:
    """What replaces an answer that the text behind it takes back.

    Args:
        rest: what follows the answer.
        kind: of the gold answer.
        start: from where on it may be taken back.
        question: what was asked; where it is what is wrong, to call that wrong takes nothing back.

    Returns:
        The text from the new answer on; empty where there is none; None: nothing is taken back.
    """
    rest = rest[:LONGEST]
    openings = list(OPENING.finditer(rest, start))
    if not openings:
        return None
    withdrawn, is_wrong_asked = False, FALSE_ASKED.search(stem_of(question)) is not None
    for opening in reversed(openings):
        said = SENTENCE.split(rest[opening.start() :].lstrip(" \n$*)]}\\.,;:"))
        if is_wrong_asked and POINTING.match(said[0]):
            continue
        is_fault = any(map(FAULT.search, said[:2])) and not any(map(NO_FAULT.search, said[:2]))
        is_recheck = is_fault or RECHECKED.match(said[0])
        if found := (is_recheck and _concluded(said)) or _stated(said, kind, is_fault):
            return found
        withdrawn = withdrawn or (is_fault and _is_of_answer(said))
    return "" if withdrawn else None


def _is_of_answer(said: list[str]) -> bool:
    """Whether sentences that own a mistake take the answer back, not a step on the way to it."""
    if any(map(STANDS.search, said[:MOST_SENTENCES])):
        return False
    faults = [one for one in said[:2] if FAULT.search(one)]
    return any(OF_ANSWER.search(one) or not ELSEWHERE.search(one) for one in faults)


def _concluded(said: list[str]) -> str | None:
    """The answer that the sentences of a recheck come to in so many words; None: they don't."""
    for sentence in reversed(said[:MOST_RECHECKED]):
        match = CONCLUDED.search(sentence)
        if match and not NOT_CONCLUDED.search(sentence[: match.start()]):
            return None if UNREAL.search(sentence) else match["value"]
    return None


def _stated(said: list[str], kind: str, is_fault: bool) -> str | None:
    """The last answer that sentences of a correction state; None: they state none."""
    for sentence in reversed(said[: MOST_SENTENCES if is_fault else 1]):
        plain = OPENING.sub("", sentence, count=1).lstrip(" ,.:，：;!—-")
        if DENIED.search(plain.split(",")[0]) or STANDS.search(plain) or UNREAL.search(plain):
            continue
        if not is_fault and SUPPOSED.search(plain):
            continue
        if match := CALLED.search(plain):
            return match["value"] or match["han"]
        match = STATES.search(plain) or (SAYS.search(plain) if is_fault else None)
        found = (match["value"] or (kind in ("text", "yes/no") and match["words"])) if match else ""
        if found and (kind not in ("text", "yes/no") or not ELSEWHERE.search(found)):
            return str(found)
        if match := BARE.fullmatch(plain):
            return match["value"]
    return None
