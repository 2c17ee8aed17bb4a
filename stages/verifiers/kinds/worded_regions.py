r"""Parts of the real line in words: `all real numbers greater than 5`, `大于等于2且小于7`.

They are written out as intervals, `(5,\infty)`, which `reading` knows.
"""

import re

BOUNDS = {
    r"(?:greater|more|larger|bigger) than or equal to|at least"
    r"|(?:no|not) (?:less|smaller|fewer) than|大于或?等于|不小于|不少于|不低于|至少[为是]?": ">=",
    r"(?:less|smaller) than or equal to|at most|(?:no|not) (?:more|greater|larger) than"
    r"|小于或?等于|不大于|不多于|不超过|不高于|至多[为是]?": "<=",
    r"(?:strictly )?(?:greater|more|larger|bigger) than|above|大于|超过|多于|高于": ">",
    r"(?:strictly )?(?:less|smaller) than|below|小于|少于|低于": "<",
}
BOUND = "|".join(f"(?:{phrase})" for phrase in BOUNDS)
NUMBER = r"((?:\\pm\s?|[-+])?\s?[\d\\][^\s,;\u4e00-\u9fff]{0,40})"
REALS = (
    r"(?:the set of )?(?:all |any |every )?(?:of )?(?:the )?real(?: number| value)?s?"
    r"(?: of)?(?: [a-z])?"
    r"|(?:all |any )?(?:the )?(?:numbers?|values?)(?: of)?(?: [a-z])?|all [a-z]|all"
)
HEAD = (
    rf"(?:(?:{REALS}|[a-z]|全体实数|实数)\s*)?"
    r"(?:that are |which are |such that [a-z] is |must be |can be |lies |lie |is |are )?"
    r"(?:[a-z] is )?"
)
TAIL = r"(?:的?(?:全体|所有|一切|任意)?(?:实数|数)?)"
JOINED = r"\s*(?:and|but|且|并且|,|而)\s*"
ONE = re.compile(rf"{HEAD}({BOUND})\s*{NUMBER}{TAIL}", re.IGNORECASE)
TWO = re.compile(
    rf"{HEAD}({BOUND})\s*{NUMBER}{JOINED}(?:is |are )?({BOUND})\s*{NUMBER}{TAIL}", re.IGNORECASE
)
BETWEEN = re.compile(
    rf"{HEAD}(?:strictly )?(?P<word>between|from|在)\s*{NUMBER}\s*(?:and|to|和|与|到)\s*{NUMBER}"
    r"(?:之间)?(?:\s*,?\s*\(?(?P<ends>inclusive|exclusive)\)?)?",
    re.IGNORECASE,
)
INTERVAL = re.compile(
    rf"(?:the )?(?P<ends>open|closed) interval (?:from|between) {NUMBER} (?:to|and) {NUMBER}",
    re.IGNORECASE,
)
EXCEPT = re.compile(
    rf"(?:{REALS}|any real number)\s*(?:except(?: for)?|other than|but|excluding|not equal to)\s*"
    rf"(?:[a-z] ?= ?)?{NUMBER}(?:\s*(?:,|and|or)\s*(?:[a-z] ?= ?)?{NUMBER})?"
    rf"|除(?:了|去)?\s*{NUMBER}\s*(?:以|之)?外的?(?:全体|所有|一切)?实数"
    rf"|不等于\s*{NUMBER}\s*的(?:全体|所有|一切|任意)?实数",
    re.IGNORECASE,
)
NONZERO = re.compile(
    r"(?:the set of )?(?:all )?non-?zero real(?: number)?s?|(?:全体|所有)?非零实数", re.IGNORECASE
)
ALL = re.compile(r"(?:for )?all (?:real (?:numbers? )?)?(?=[a-z]\s*(?:[<>]|\\[lg]eq))")
SIDE = r"([a-zA-Z](?:_\{?\w\}?)?|[A-Z]{2})"
PAIR = re.compile(rf"{SIDE}\s*(?:(?:must be|is)\s+)?({BOUND})\s*{SIDE}")
"""`a is less than b`"""
LONGEST = 120


def region_in_words(text: str) -> str | None:
    """An interval, or the line without some points, that a text describes; None: it does not.

    Args:
        text: tidied text.
    """
    if len(text) > LONGEST:
        return None
    if NONZERO.fullmatch(text):
        return r"\mathbb{R}\setminus\{0\}"
    if match := EXCEPT.fullmatch(text):
        return rf"\mathbb{{R}}\setminus\{{{','.join(part for part in match.groups() if part)}\}}"
    if match := TWO.fullmatch(text):
        return _between(*match.groups())
    if (match := PAIR.fullmatch(text)) and match[1] != match[3]:
        return f"{match[1]} {_sign(match[2])} {match[3]}"
    if match := ONE.fullmatch(text):
        sign, number = _sign(match[1]), match[2]
        if sign[0] == ">":
            return rf"{'[' if '=' in sign else '('}{number},\infty)"
        return rf"(-\infty,{number}{']' if '=' in sign else ')'}"
    if match := INTERVAL.fullmatch(text):
        return _with_ends(match[2], match[3], match["ends"].lower() == "closed")
    if match := BETWEEN.fullmatch(text):
        ends = (match["ends"] or "").lower()
        bare = text.lower().startswith("from ")
        if match["word"].lower() != "from":
            return _with_ends(match[2], match[3], ends == "inclusive")
        return None if bare and not ends else _with_ends(match[2], match[3], ends != "exclusive")
    return ALL.sub("", text) if ALL.match(text) else None


def _sign(phrase: str) -> str:
    return next(
        sign for words, sign in BOUNDS.items() if re.fullmatch(words, phrase, re.IGNORECASE)
    )


def _between(first: str, low: str, second: str, high: str) -> str | None:
    one, other = _sign(first), _sign(second)
    if one[0] == "<":
        one, low, other, high = other, high, one, low
    if one[0] != ">" or other[0] != "<":
        return None
    return f"{'[' if '=' in one else '('}{low},{high}{']' if '=' in other else ')'}"


def _with_ends(low: str, high: str, closed: bool) -> str:
    return f"[{low},{high}]" if closed else f"({low},{high})"
