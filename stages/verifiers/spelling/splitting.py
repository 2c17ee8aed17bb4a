"""Cutting answers at commas, words and signs, but never inside brackets."""

import re

OPENING, CLOSING = "([{", ")]}"
SIGN = re.compile(
    r"\\(?:leq|geq|neq|approx|in|equiv|sim|Leftrightarrow|Rightarrow|propto)(?![A-Za-z])"
    r"|<=|>=|!=|==|=<|=>|<|>|=|≡"
)
SIGNS = {
    "\\leq": "<=", "\\geq": ">=", "\\neq": "!=", "\\approx": "~", "\\in": "in", "==": "=",
    "=<": "<=", "=>": ">=",
}  # fmt: skip
COMMA = re.compile(r"[,;]|\\\\")
WORD = re.compile(r"(?<![A-Za-z\\])(?:and|or|&|as well as)(?![A-Za-z])|或者?|和|与|及")
NEVER = re.compile(r"(?!)")


def cut(text: str, separator: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """The parts of a text between separators that are outside all brackets, and the separators."""
    if separator.search(text) is None:
        return [text.strip()], []
    depth, start, position = 0, 0, 0
    parts: list[str] = []
    found: list[str] = []
    while position < len(text):
        character = text[position]
        if character == "\\" and text[position + 1 : position + 2] in ("{", "}"):
            depth += 1 if text[position + 1] == "{" else -1
            position += 2
            continue
        if text.startswith(("\\begin{", "\\end{"), position):
            depth += 1 if text.startswith("\\begin{", position) else -1
            position = text.index("{", position)
            depth += 1
            position += 1
            continue
        if character in OPENING:
            depth += 1
        elif character in CLOSING:
            depth -= 1
        elif depth <= 0 and (match := separator.match(text, position)):
            parts.append(text[start:position].strip())
            found.append(match[0])
            position = start = match.end()
            continue
        position += 2 if text.startswith("\\\\", position) else 1
    return [*parts, text[start:].strip()], found


def bracketed(text: str) -> tuple[str, str, str] | None:
    r"""Content and brackets of a text that one pair of brackets encloses, `[0, 1)` included.

    A set's `\{` comes back as `{`.
    """
    plain = text.replace("\\{", "{").replace("\\}", "}")
    if len(plain) < 2 or plain[0] not in OPENING or plain[-1] not in CLOSING:
        return None
    depth = 0
    for position, character in enumerate(plain):
        depth += (character in OPENING) - (character in CLOSING)
        if depth == 0 and position < len(plain) - 1:
            return None
    if depth:
        return None
    return plain[1:-1].strip(), plain[0], plain[-1]


def relation(text: str) -> tuple[list[str], list[str]] | None:
    """The sides of an equation or inequality, and the signs between them; None: it is neither."""
    sides, signs = cut(text, SIGN)
    if not signs or not all(sides):
        return None
    return sides, [SIGNS.get(sign, sign) for sign in signs]
