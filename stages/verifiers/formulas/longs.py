"""Numbers with thousands of digits, which are compared digit by digit and never computed with."""

LONGEST = 20_000


def long_number(text: str) -> str | None:
    """A plain number without zeros that say nothing; None where a text is none, or endless.

    Args:
        text: an answer that is too long to be anything else.
    """
    text = text.strip(" \n$")
    sign = "-" if text.startswith("-") else ""
    whole, point, decimals = text.lstrip("+-").partition(".")
    if len(text) > LONGEST or not whole.isdecimal() or not whole.isascii():
        return None
    if decimals and not (decimals.isdecimal() and decimals.isascii()):
        return None
    whole, decimals = whole.lstrip("0") or "0", decimals.rstrip("0")
    return f"{sign}{whole}{point if decimals else ''}{decimals}"
