"""HTML in answers: `x<sup>2</sup>`, `<b>12</b>`, `x &lt; 3`."""

import html
import re

RAISED = re.compile(r"<(sup|sub)>([^<>]{1,60})</\1>", re.IGNORECASE)
TAGS = re.compile(
    r"</?(?:b|strong|i|em|u|p|span|div|font|mark|code)(?:\s[^<>]{0,80})?>|<br\s*/?>", re.IGNORECASE
)
ENTITY = re.compile(
    r"&(?:lt|gt|le|ge|ne|nbsp|deg|pi|radic|times|divide|minus|plusmn|infin|#\d{2,4});"
)


def without_html(text: str) -> str:
    """A text with LaTeX for the HTML in it."""
    if "</" in text or "<br" in text:
        text = RAISED.sub(_raised, text)
        text = TAGS.sub("", text)
    if "&" in text and ";" in text:
        text = ENTITY.sub(lambda match: html.unescape(match[0]), text)
    return text


def _raised(match: re.Match[str]) -> str:
    return f"{'^' if match[1].lower() == 'sup' else '_'}{{{match[2]}}}"
