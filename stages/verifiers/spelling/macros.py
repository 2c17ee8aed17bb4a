r"""Macros of LaTeX packages, and other spellings, in the plain LaTeX that `clean` knows.

`siunitx` writes `\SI{3}{\meter\per\second}`, `esvect` and its like write arrows over points, data
sets from web pages write `&lt;`.
"""

import html
import re

UNIT_MACROS = {
    "per": "/", "squared": "^2", "cubed": "^3", "square": "square ", "cubic": "cubic ",
    "percent": "%", "degree": "°", "degreeCelsius": "°C", "celsius": "°C", "ohm": "Ω",
    "micro": "µ", "milli": "m", "centi": "c", "deci": "d", "kilo": "k", "mega": "M", "giga": "G",
    "nano": "n", "meter": "m", "metre": "m", "gram": "g", "second": "s", "minute": "min",
    "hour": "h", "liter": "L", "litre": "L", "joule": "J", "newton": "N", "watt": "W", "volt": "V",
    "ampere": "A", "kelvin": "K", "mole": "mol", "pascal": "Pa", "hertz": "Hz", "coulomb": "C",
    "tesla": "T", "farad": "F", "henry": "H", "kilogram": "kg", "cm": "cm", "mm": "mm", "km": "km",
    "kg": "kg", "day": "day", "gramme": "g", "tothe": "^",
}  # fmt: skip
PREFIXES = frozenset("micro milli centi deci kilo mega giga nano square cubic".split())
"""What stands before a unit without a sign between."""
GLUED = frozenset(["per", "squared", "cubed", "tothe"])
MACRO = re.compile(r"\\([A-Za-z]+)\s*")
MEASURE = re.compile(r"\\(?:SI|qty)\s*(?:\[[^\]]*\])?\s*\{([^{}]*)\}\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
UNIT = re.compile(r"\\(?:si|unit)\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
NUMBER = re.compile(r"\\num\s*\{([^{}]*)\}")
ANGLE = re.compile(r"\\ang\s*\{([^{};]*)(?:;([^{};]*))?(?:;([^{};]*))?\}")
SLANTED = re.compile(r"\\(?:nicefrac|sfrac|flatfrac|xfrac)(?![A-Za-z])")
RAISED = re.compile(r"(?:\{\})?\^\s*\{?(\d{1,6})\}?\s*(?:/|\\slash)\s*_\s*\{?(\d{1,6})\}?")
"""`{}^3/_4`"""
POINTS = r"([A-Z](?:_\{?\d\}?)?'?)\s*([A-Z](?:_\{?\d\}?)?'?)"
ARROW = re.compile(
    rf"\\(?:overrightarrow|vec|vv|overset\{{\\(?:to|rightarrow)\}})\s*\{{\s*{POINTS}\s*\}}"
)
ARROWED = re.compile(r"\\vv\{([^{}]*(?:\{\d\}[^{}]*)?)\}")
UNBRACED = re.compile(
    r"\\(?:vec|hat|bar|mathbf|boldsymbol|bm|bold)\s+(\\[ij]math|[A-Za-z])(?![A-Za-z])"
)
DOTLESS = re.compile(r"\\([ij])math(?![A-Za-z])")
MAPSTO = re.compile(
    r"(?:([a-zA-Z])\s*(?::|\\colon)\s*)?(?:\\mathbb\{?[A-Z]\}?\s*\\(?:to|rightarrow)\s*"
    r"\\mathbb\{?[A-Z]\}?(?:\\[ ,;]|[,:;\s]){0,4})?([a-z])\s*(?:\\mapsto|↦)\s*"
)
TIMES = re.compile(r"\{\s*(\\times|\\cdot)\s*\}|\\bullet(?![A-Za-z])")
DOTTED = re.compile(r"(\.\d*)\\dot\s*\{?(\d)\}?(\d*)\\dot\s*\{?(\d)\}?")
"""`0.\\dot{2}\\dot{7}`, a decimal that repeats from dot to dot."""
NOT_IN = re.compile(r"\\(?:notin|not\s*\\in)(?![A-Za-z])(?=\s*(?:\\left)?\\\{)")
"""What is in none of a few places differs from all of them."""
ENTITY = re.compile(r"&(?:lt|gt|le|ge|ne|amp|nbsp|times|deg|pi|minus|plusmn|radic|#\d{2,4});")
EIGHTHS = {
    "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5", "⅙": "1/6", "⅚": "5/6", "⅛": "1/8",
    "⅜": "3/8", "⅝": "5/8", "⅞": "7/8", "⅐": "1/7", "⅑": "1/9", "⅒": "1/10",
}  # fmt: skip
FRACTION_SIGN = re.compile(f"[{''.join(EIGHTHS)}]")
ALSO = re.compile(r"(\d)\s*又\s*(?=\\[dt]?frac|\d+/\d+)")
"""`2又1/4`, a mixed number."""


def without_entities(text: str) -> str:
    """A text with the characters that a web page writes as `&lt;` and its like."""
    return ENTITY.sub(lambda match: html.unescape(match[0]), text)


def plain_macros(text: str) -> str:
    """A text with the macros of packages written out."""
    if not text.isascii():
        text = FRACTION_SIGN.sub(_fraction, text)
        text = text.replace("↦", r"\mapsto ")
    if "又" in text:
        text = ALSO.sub(r"\1 ", text)
    if "\\" not in text and "^" not in text:
        return text
    text = MEASURE.sub(lambda match: f"{_number(match[1])} {_unit(match[2])}", text)
    text = UNIT.sub(lambda match: f" {_unit(match[1])}", text)
    text = NUMBER.sub(lambda match: _number(match[1]), text)
    text = ANGLE.sub(_angle, text)
    text = SLANTED.sub(r"\\frac", text)
    text = RAISED.sub(r"\\frac{\1}{\2}", text)
    text = TIMES.sub(lambda match: (match[1] or "\\cdot") + " ", text)
    text = ARROW.sub(r"\\vv{\1\2}", text)
    text = UNBRACED.sub(r"\1", text)
    text = DOTLESS.sub(r"\1", text)
    text = MAPSTO.sub(lambda match: f"{match[1] or 'f'}({match[2]})=", text)
    text = DOTTED.sub(r"\1\\overline{\2\3\4}", text)
    text = NOT_IN.sub(r"\\neq ", text)
    return text.replace("{smallmatrix}", "{matrix}")


def without_arrows(text: str) -> str:
    """A text whose vectors are written as their points alone, `AB`."""
    return ARROWED.sub(r"\1", text) if "\\vv" in text else text


def _fraction(match: re.Match[str]) -> str:
    top, bottom = EIGHTHS[match[0]].split("/")
    return rf"\frac{{{top}}}{{{bottom}}}"


def _number(text: str) -> str:
    return text.strip().replace(" ", "").replace("x", r"\times ")


def _unit(text: str) -> str:
    r"""A unit in letters and signs, `m/s^2` for `\meter\per\second\squared`."""
    found = ""
    names = MACRO.findall(text)
    if not names or MACRO.sub("", text).strip(" ~.^{}0123456789"):
        return text.replace(".", " ")
    glue = ""
    for name in names:
        sign = UNIT_MACROS.get(name, name)
        found += sign if name in GLUED else glue + sign
        glue = "" if name in PREFIXES or name == "per" else " "
    return found


def _angle(match: re.Match[str]) -> str:
    parts = [
        f"{part.strip()}{sign}"
        for part, sign in zip(match.groups(), ("°", "'", "''"), strict=True)
        if part and part.strip()
    ]
    return "".join(parts)
