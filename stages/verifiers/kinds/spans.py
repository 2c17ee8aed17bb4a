"""Two ends of a stretch of time that a question asks for: `from 2010 to 2011`, `2010-2011`."""

import re

ASKED = re.compile(
    r"\b(?:between|from) (?:which|what) (?:two |2 |pair of )?(?:consecutive |adjacent )?"
    r"(?:years?|months?|days?|quarters?|decades?)\b"
    r"|哪(?:两|2)(?:个)?(?:年|月|天|季度)",
    re.IGNORECASE,
)
END = r"(\d{4}|\d{1,2})年?"
SPAN = re.compile(
    rf"(?:\b(?:from|between|in|during)\s+|[从在自])?(?<![\d.]){END}"
    rf"\s*(?:to|and|through|until|--?|–|—|到|至|与|和|~)\s*{END}(?:之间)?(?![\d.]*\d)",
    re.IGNORECASE,
)
DENIED = re.compile(r"\b(?:not|n't|or|never|except)\b|n't\b|不|或", re.IGNORECASE)


def asks_for_span(question: str) -> bool:
    """Whether a question asks between which two years, or the like, something happened."""
    return ASKED.search(question) is not None


def span_in(plain: str) -> tuple[str, str] | None:
    """The only span that an answer or a sentence speaks of; None: it names none, or several."""
    found = {match.groups() for match in SPAN.finditer(plain)}
    if len(found) != 1 or DENIED.search(plain):
        return None
    ((start, end),) = found
    return start, end
