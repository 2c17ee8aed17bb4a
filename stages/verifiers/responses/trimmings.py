"""What a sentence has around its answer: marks, openings, asides, reasons, conditions."""

import re

ASIDE = re.compile(
    r",\s*(?:which|so that|because|since|where|meaning|as|with|having|after|given|not"
    r"|not counting|rather|instead)\b.*$|\s*[(（](?:that is|i\.e\.|since|because|namely|which"
    r"|where|not|as|with|after|having|discarding|rejecting|excluding|由于|因为|即)"
    r"[^()（）]*[)）]\s*$"
    r"|(?<=\d)\s+\(\d+(?:\s?[+×*·]\s?\d+){1,9}\)$"
    r"|(?<=[\w})°])\s*[(（](?=[^()（）]*(?:[A-Za-z]{2,} [A-Za-z]{2,}|舍|不合|检验))"
    r"[^()（）]{8,}[)）]\s*$",
    re.IGNORECASE | re.DOTALL,
)
AMOUNT = re.compile(
    r",\s*(?:at|with|reaching|about|around|totall?ing|accounting for|making up|averaging)\b"
    r"(?![^,]*(?:\d ?[ap]\.?m\b|o'clock))[^,:]{0,40}\d[^,:]{0,30}$"
)
"""`in July, at 210 mm`: how much it was there."""
IN_BRACKETS = re.compile(r"(?<=[a-z]) \(\d[^()]{0,20}\) (?=[a-z])")
OPENING = re.compile(
    r"^(?:(?:so|thus|hence|therefore|then|finally)\b|综上(?:所述)?|因此|所以|[故应]填|故"
    r"|由此(?:可得)?|解得|可得)[,，:：]?\s*"
    r"(?:we (?:get|have|find|obtain)\s+)?"
    r"|^(?:based on|according to|from|in) the (?:\w+ )?(?:chart|graph|table|figure|diagram|picture"
    r"|image|data|map)[^,\d]{0,30},\s*",
    re.IGNORECASE,
)
SOLVES = re.compile(
    r"\s*(?:is|are) (?:indeed )?(?:the|an?|its) (?:only )?(?:unique )?(?:real )?"
    r"(?:solutions?|roots?|answers?)\b[^,;=]{0,60}$"
    r"|\s*are (?:both |all |indeed )*(?:valid|acceptable|genuine|admissible)$"
    r"|\s*[是为][^，,=]{0,6}(?:方程组?|不等式组?)?的(?:唯一)?(?:解集?|根)$"
)
"""`x = 3 is the only solution of the equation`"""
LEADING = re.compile(
    r"^(?:(?:when|if|for|since|with|because|given|after|substituting|at)\b|当)[^,，]{1,80}[,，]\s*"
    r"(?=.*[=\d])|^经检验[,，]",
    re.IGNORECASE,
)
NOT_BUT = re.compile(
    r"\b(?:not|isn't)\s+[^,;。]{1,40}?,?\s+(?:but\s+(?:rather\s+|is\s+|it is\s+)?|which\s+is\s+)"
    r"|不是[^,，;。]{1,20}[,，]?而是",
    re.IGNORECASE,
)
TICKS = re.compile(r"(?<=\w)[\s.*]*[✓✅☑✔🎉️]+\s*$")
YEAR = re.compile(r"\b(?:1[5-9]|20)\d\d\b")
PERIOD = re.compile(
    r"(?<=\d)[^\d]{0,24}\b(?:from|between|during|in) (?:1[5-9]|20)\d\d(?: ?(?:to|and|-|–) ?\d{4})?$"
)
BULLET = re.compile(r"^(?:>\s+|[-*•]\s+|[解答]\s?[:：]\s?|∴\s*|\$?\\therefore\s*)+")


def without_marks(sentence: str) -> str:
    """A sentence without bullets, bold type, ticks, and what it says that something is not."""
    plain = BULLET.sub("", sentence.replace("**", "").strip()).strip("*_ ").rstrip(".。")
    return NOT_BUT.sub("", TICKS.sub("", plain))


def without_asides(plain: str, kind: str, question: str) -> str:
    """A sentence without what opens it, reasons at its end, and conditions.

    Args:
        plain: the sentence.
        kind: of the gold answer.
        question: what was asked; a year that it has is no answer.
    """
    plain = SOLVES.sub("", OPENING.sub("", ASIDE.sub("", plain)))
    if kind == "number" and any(year in question for year in YEAR.findall(plain)):
        plain = PERIOD.sub("", plain)
    if kind in ("text", "time"):
        plain = IN_BRACKETS.sub(" ", AMOUNT.sub("", plain))
    return plain if kind == "text" else LEADING.sub("", plain)
