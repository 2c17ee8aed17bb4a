r"""Answers in one spelling: LaTeX's noise, full-width forms and typographic signs are taken away.

What is left of an answer uses the few commands that `expressions` and `reading` know, such as
`\frac`, `\sqrt`, `\leq` and `\cup`, and keeps every digit, sign and bracket.
"""

import functools
import re
import unicodedata

from stages.verifiers.spelling.halves import with_halves
from stages.verifiers.spelling.han import with_signs
from stages.verifiers.spelling.macros import plain_macros, without_entities
from stages.verifiers.spelling.markup import without_html

LOST_ESCAPES = {"\x0c": r"\f", "\x08": r"\b", "\x07": r"\a", "\x0b": r"\v"}
"""What a data set makes of `\frac` and its like when it reads LaTeX as an escaped string."""
LOST_TABS = re.compile(r"\t(?=an\b|imes|ext|heta|au\b|riangle|frac|o\b)")
LOST_RETURNS = re.compile(r"\r(?=ight|ho\b|angle)")

FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
SIGNS = {
    "−": "-", "–": "-", "—": "-", "﹣": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ",
    "∙": r"\cdot ", "÷": r"\div ", "π": r"\pi ", "∞": r"\infty ", "≤": r"\leq ", "≥": r"\geq ",
    "⩽": r"\leq ", "⩾": r"\geq ", "≦": r"\leq ", "≧": r"\geq ", "≠": r"\neq ", "≈": r"\approx ",
"⁄": "/", "∥": r"\parallel ", "⊥": r"\perp ",
    "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "Ø": r"\emptyset ",
    "ℝ": r"\mathbb{R}", "±": r"\pm ", "∓": r"\mp ", "°": r"^\circ ", "º": r"^\circ ",
    "˚": r"^\circ ", "′": "'", "’": "'", "‘": "'", "″": "''", "“": '"', "”": '"', "。": ".",
    "、": ",", "【": "[", "】": "]", "「": '"', "」": '"', "∶": ":", "꞉": ":", "…": r"\ldots ",
    "⋯": r"\ldots ", "℃": r"^\circ C", "℉": r"^\circ F", "∣": "|",
    "∠": r"\angle ", "△": r"\triangle ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ",
    "γ": r"\gamma ", "λ": r"\lambda ", "φ": r"\phi ", "ω": r"\omega ", "μ": "µ", "Δ": r"\Delta ",
    "Ω": r"\Omega ", "ρ": r"\rho ", "σ": r"\sigma ", "τ": r"\tau ", "δ": r"\delta ",
    "ε": r"\epsilon ", "η": r"\eta ", "ψ": r"\psi ", "Φ": r"\Phi ",
    "\u00a0": " ", "\u3000": " ", "\u2009": " ", "\u202f": " ", "\u200b": "",
    "\u2061": "", "⟨": "(", "⟩": ")", "∧": r"\wedge ", "∨": r"\vee ", "←": r"\leftarrow ",
}  # fmt: skip
VULGAR = {
    sign: rf"\frac{{{parts[0]}}}{{{parts[1]}}}"
    for sign in map(chr, (0xBC, 0xBD, 0xBE, *range(0x2150, 0x215F)))
    if len(parts := unicodedata.normalize("NFKC", sign).split("⁄")) == 2
}
"""`½` and the like."""
SIGN_TABLE = str.maketrans(
    {**{chr(key): chr(value) for key, value in FULL_WIDTH.items()}, **SIGNS, **VULGAR}
)
SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
SUBSCRIPT = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
PLAIN = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ₀₁₂₃₄₅₆₇₈₉", "0123456789+-n0123456789")
UNICODE_ROOT = re.compile(r"([√∛])\s*(\{[^{}]*\}|\([^()]*\)|\d+(?:\.\d+)?|[a-zA-Z])")

SPACING = re.compile(
    r"\\(?:hspace|vspace|hskip|kern)\*?\s*\{[^{}]*\}|\\(?:quad|qquad|hfill?|thinspace|medspace"
    r"|enspace)\b"
    r"|(?<!\\)\\[,;:> ]|(?<!\\)~|\\[vh]?phantom\{[^{}]*\}|\\allowbreak\b|\\(?:newline|nonumber)\b"
)
NOTHING = re.compile(
    r"\\(?:left|right)\s*\.|"
    r"\\(?:displaystyle|textstyle|scriptstyle|limits|nolimits|rm|bf|it|Large|large|left"
    r"|right|middle"
    r"|[bB]ig+[lrm]?|mathstrut|strut|blacksquare|square|checkmark|label\{[^{}]*\}|tag\{[^{}]*\})(?![A-Za-z])|\\!|&(?==)|^\s*&"
)
COLOUR = re.compile(
    r"\\(?:color|textcolor|colorbox)\s*\{[^{}]*\}|\\color\s*[a-z]+(?=\{)"
    r"|\\fcolorbox\s*\{[^{}]*\}\s*\{[^{}]*\}"
)
WRAPPER = re.compile(
    r"\\(?:text(?:bf|it|rm|normal|sf|tt|sc|up)?|mbox|hbox|textnormal|mathrm|mathbf|mathit|mathsf"
    r"|mathtt|boldsymbol|bm|pmb|emph|underline|overline|bar|vec|hat|boxed|fbox|ensuremath|mathop"
    r"|overrightarrow|widehat|operatorname\*?|mathnormal|mathcal|underset\{[^{}]*\}|math)"
    r"\s*\{((?:[^{}]|\{[^{}]*\})*)\}"
)
FRACTION = re.compile(r"\\(?:[dtcs]|nice|flat)frac(?![A-Za-z])")
SLASHED = re.compile(r"(?<![\w)}])\^\{?(\d{1,9})\}?\s*/\s*_\{?(\d{1,9})\}?")
"""`^3/_5`"""
SURD = re.compile(r"\\surd(?![A-Za-z])")
ROOT_OF = re.compile(r"\\root\s*\{?([\dn])\}?\s*\\of\s*(?:\{([^{}]*)\}|(\w))")
SHORT_FRACTION = re.compile(r"\\frac\s*(\d)\s*(\d)")
HALF_FRACTION = re.compile(r"\\frac\s*(\{[^{}]*\})\s*(\d)")
OTHER_HALF = re.compile(r"\\frac\s*(\d)\s*(?=\{)")
NAMES = {
    "leqslant": "leq", "geqslant": "geq", "le": "leq", "ge": "geq", "ne": "neq", "lt": "<",
    "gt": ">", "varnothing": "emptyset", "emptyset": "emptyset", "dbinom": "binom",
    "tbinom": "binom", "lbrace": r"\{", "rbrace": r"\}", "lbrack": "[", "rbrack": "]",
    "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "langle": "(", "rangle": ")",
    "colon": ":", "ast": "*", "star": "*",
    "dots": "ldots", "cdots": "ldots", "dotsc": "ldots", "dotsb": "ldots", "dotsm": "ldots",
    "vdots": "ldots", "degree": r"^\circ ", "textdegree": r"^\circ ", "lor": r" or ",
    "vee": r" or ", "land": " and ", "wedge": " and ", "varphi": "phi", "vartheta": "theta",
    "varepsilon": "epsilon",
    "infin": "infty", "setminus": "setminus", "backslash": "setminus", "rmd": "d", "textdollar":
    r"\$", "euro": "€", "pounds": "£", "simeq": "approx", "thickapprox": "approx",
    "uppi": "pi", "ldotp": ".", "implies": r"\Rightarrow", "euler": "e", "R": r"\mathbb{R}",
    "reals": r"\mathbb{R}",
}  # fmt: skip
NAME = re.compile(r"\\([A-Za-z]+)")
BRACED_WORD = re.compile(r"(?<=\d)\{\s*(degrees?|[a-zA-Z]{3,})\s*\}")
SEPARATOR = re.compile(r"(?<=\d)(?:\{,\}|,\\!|\\,|\{\\,\})\s*(?=\d{3}(?!\d))")
REPEATING = re.compile(r"(\d*\.\d*)\\(?:overline|dot|bar)\s*\{(\d+)\}")
REPEATED = re.compile(r"(\d*\.\d{0,12}?)(\d{1,6}?)\2+(?:\.{3}|\\[lc]?dots(?![A-Za-z]))")
BARRED = re.compile(r"(?<=\d)\\(?:overline|bar|dot|hat|underline)(?=\s*\{\d+\}|\s*\d)")
"""`1\\overline{2}` is no 12."""
LEFT_OUT = re.compile(r"(?<=[-+*/,<=])( ?)\.{3,6}(?![.\d])")
"""`1 + 2 + ... + n`"""
REPEATED_DIGITS = 48
"""A repeating decimal is written out to so many digits."""
CHOOSE = re.compile(r"\{\s*([^{}\\]{1,20}?)\s*\\choose\s*([^{}]{1,20}?)\s*\}")
COMBINATIONS = re.compile(
    r"(?<![A-Za-z\\])(?:\\mathrm\s*\{C\}|(C))_\s*(?:\{([\dn+m-]{1,6})\}|([\dn]))\s*"
    r"\^\s*(?:\{([\dkmnr+-]{1,6})\}|([\dkmr]))"
)
"""`C_n^2`, as Chinese texts write a binomial coefficient."""
OVER = re.compile(r"\{([^{}\\]{1,20}?)\s*\\over\s*([^{}]{1,20}?)\}")
PRIME = re.compile(r"\^\s*(?:\{\s*\\prime\s*\}|\\prime(?![A-Za-z]))")
FUNCTION_NAMES = frozenset(
    "sin cos tan cot sec csc ln log lg exp arcsin arccos arctan max min".split()
)
NEGATIVE = re.compile(r"负(?=[\d一二三四五六七八九十])|\b(?:minus|negative)\s+(?=\d)")
PLUS_OR_MINUS = re.compile(r"\bplus or minus\s+(?=[\d\\])|正负(?=[\d\\])")
DOLLAR = re.compile(r"(?<!\\)\$")
DOUBLED = re.compile(
    r"\\\\(?=(?:left|right|frac|dfrac|sqrt|pi|times|text|cdot|circ|infty|boxed)\b)"
)
LONGEST_ANSWER = 2000
"""Characters; what is longer is not read as mathematics."""
MOST_WRAPPERS = 8


@functools.lru_cache(maxsize=20_000)
def tidy(text: str) -> str:
    """An answer without markup, in plain letters and a small set of LaTeX commands."""
    text = without_html(with_signs(with_halves(restore(text))))
    if len(text) > LONGEST_ANSWER:
        return text
    text = plain_macros(text)
    text = SUPERSCRIPT.sub(lambda match: f"^{{{match[0].translate(PLAIN)}}}", text)
    text = SUBSCRIPT.sub(lambda match: f"_{{{match[0].translate(PLAIN)}}}", text)
    text = UNICODE_ROOT.sub(_root, SURD.sub("√", text))
    text = ROOT_OF.sub(r"\\sqrt[\1]{\2\3}", text)
    text = SLASHED.sub(r"\\frac{\1}{\2}", text)
    # Full-width brackets and commas become ASCII; circled numbers are told apart by `reading`.
    text = text.translate(SIGN_TABLE).strip()
    text = _without_delimiters(text)
    text = SEPARATOR.sub("", text)
    text = NOTHING.sub("", text)
    if "..." in text:
        text = LEFT_OUT.sub(r"\1\\ldots ", text)
    text = REPEATING.sub(_repeated, text)
    text = REPEATED.sub(_repeated, text)
    text = BARRED.sub(r"\\barred", text)
    text = PRIME.sub("'", text)
    text = OVER.sub(r"\\frac{\1}{\2}", text)
    text = COMBINATIONS.sub(r"\\binom{\2\3}{\4\5}", text)
    text = CHOOSE.sub(r"\\binom{\1}{\2}", text)
    text = SPACING.sub(" ", text)
    text = COLOUR.sub("", text)
    for _ in range(MOST_WRAPPERS):
        text, found = WRAPPER.subn(_unwrap, text)
        if not found:
            break
    text = NEGATIVE.sub("-", PLUS_OR_MINUS.sub(r"\\pm ", text))
    text = FRACTION.sub(r"\\frac", text)
    text = SHORT_FRACTION.sub(r"\\frac{\1}{\2}", text)
    text = HALF_FRACTION.sub(r"\\frac\1{\2}", text)
    text = OTHER_HALF.sub(r"\\frac{\1}", text)
    text = NAME.sub(_rename, text)
    text = BRACED_WORD.sub(r" \1 ", text)
    text = re.sub(r"\^\s*\{\s*\\circ\s*\}|\^\s*\\circ\b|\\circ\b(?=\s*$)", r"^\\circ ", text)
    text = re.sub(r"(?<=\d)\^\s*\{?\s*o\s*\}?(?![a-z])", r"^\\circ ", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"\1", text)
    text = " ".join(text.split())
    return _strip_ends(text)


def restore(text: str) -> str:
    """Put back the LaTeX commands that a careless reader turned into control characters."""
    if "&" in text:
        text = without_entities(text)
    if "\\\\" in text and "\\begin" not in text:
        text = DOUBLED.sub(r"\\", text)
    if text.isprintable():
        return text
    for lost, written in LOST_ESCAPES.items():
        text = text.replace(lost, written)
    return LOST_RETURNS.sub(r"\\r", LOST_TABS.sub(r"\\t", text))


def _without_delimiters(text: str) -> str:
    r"""A text without `$`, `\(` and `\[`; one `$` too many is money."""
    text = re.sub(r"(?<!\\)\\[()\[\]](?!\s*\d*(?:pt|em|ex))|\$\$", " ", text)
    if len(DOLLAR.findall(text)) % 2 == 0:
        return DOLLAR.sub(" ", text)
    return re.sub(r"(?<!\\)\$(?!\d)", " ", text)


def _repeated(match: re.Match[str]) -> str:
    return match[1] + (match[2] * REPEATED_DIGITS)[:REPEATED_DIGITS]


def _root(match: re.Match[str]) -> str:
    content = match[2][1:-1] if match[2][0] in "{(" else match[2]
    return rf"\sqrt{'[3]' if match[1] == '∛' else ''}{{{content}}}"


def _unwrap(match: re.Match[str]) -> str:
    content = match[1]
    if content.strip() in FUNCTION_NAMES:
        minutes = content.strip() == "min" and not match[0].startswith(r"\operatorname")
        return f" {content} " if minutes else f"\\{content.strip()} "
    if match[0].startswith(r"\operatorname") and content.strip().isalpha():
        return f"\\{content.strip()} "
    if match[0].startswith((r"\text", r"\mbox", r"\hbox")) and content.strip().isalpha():
        return f" {content} "
    return content


def _rename(match: re.Match[str]) -> str:
    name = NAMES.get(match[1], match[1])
    if name == match[1]:
        return match[0]
    return f"\\{name}" if name.isalpha() else name


def _strip_ends(text: str) -> str:
    """Take away outer punctuation, quotes, `**` and braces that hold everything."""
    while True:
        before = text
        text = text.strip().removeprefix("=").strip('`"').rstrip(".,;:!?*\\").lstrip("*,;:").strip()
        if before.rstrip().endswith("!") and re.search(r"[\d)a-zA-Z}]!+$", before.rstrip()):
            text = before.strip()  # a factorial
        if (
            text.startswith("{")
            and _closes_at(text) == len(text) - 1
            and "," not in text
            and "|" not in text
        ):
            text = text[1:-1]
        if text == before:
            return text


def _closes_at(text: str) -> int:
    depth = 0
    for position, character in enumerate(text):
        escaped = position and text[position - 1] == "\\"
        depth += 0 if escaped else {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return position
    return -1
