"""Names of angles and triangles, which have their points in more than one order."""

import re

POINT = r"([A-Z]'?(?:_\{?\d\}?)?)"
ANGLE = re.compile(rf"(?:\\angle|[Aa]ngle|角)\s*{POINT}\s*{POINT}\s*{POINT}")
TRIANGLE = re.compile(rf"(?:\\triangle|[Tt]riangle|三角形)\s*{POINT}\s*{POINT}\s*{POINT}")
Figure = tuple[str, frozenset[str], str]


def figure_of(plain: str) -> Figure | None:
    """The angle or triangle that a text names; None: it names none.

    Args:
        plain: tidied text.
    """
    if match := ANGLE.fullmatch(plain):
        return "angle", frozenset(match.group(1, 3)), match[2]
    if match := TRIANGLE.fullmatch(plain):
        return "triangle", frozenset(match.groups()), ""
    return None
