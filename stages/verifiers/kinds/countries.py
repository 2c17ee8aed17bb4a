"""Countries that go by short and by long names: `USA`, `U.S.`, `the United States`."""

import re

NAMES = {
    "usa": r"(?:the )?(?:united states(?: of america)?|u\.s\.a|u\.s|usa)|^(?:the )?us$",
    "uk": r"(?:the )?(?:united kingdom|u\.k)|^(?:the )?uk$",
}
PATTERNS = tuple((name, re.compile(rf"\b(?:{said})(?!\w)")) for name, said in NAMES.items())
ASKED = re.compile(r"\b(?:country|countries|nations?)\b|国家?", re.IGNORECASE)


def in_short(plain: str) -> str:
    """A normalized text with each such country by its shortest name."""
    for name, pattern in PATTERNS:
        plain = pattern.sub(name, plain)
    return plain


def is_country(plain: str, question: str) -> bool:
    """Whether an answer is such a country, where a question asks for one: `UK` is no product."""
    return in_short(plain) in NAMES and ASKED.search(question) is not None
