r"""Tokens of formulas, and the names that mean something in them."""

import re

from stages.verifiers.formulas.expressions import Unreadable

MOST_TOKENS = 600
FUNCTIONS = frozenset(
    (
        "sin cos tan cot sec csc sinh cosh tanh coth arcsin arccos arctan arccot asin "
        "acos atan ln log lg exp abs sqrt cbrt max min gcd lcm deg arg Re Im sgn sign "
        "arcsinh arccosh arctanh cosec tg ctg arctg sech csch"
    ).split()
)
GREEK = frozenset(
    (
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho "
        "sigma tau upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma "
        "Upsilon Phi Psi Omega hbar ell nabla partial triangle angle ldots aleph "
        "imath jmath prime"
    ).split()
)
MAPS = frozenset({"f", "g", "F", "G"})
"""Letters that, in front of a bracket, are functions rather than factors."""
TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+(?![\d.]))?|\.\d+)"
    r"(?P<repeating>\.\.\.|\\ldots)?"
    r"|(?P<command>\\[A-Za-z]+|\\[{}|%$])"
    r"|(?P<word>sqrt|cbrt|arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log"
    r"|ln|exp|pi"
    r"|abs)(?![a-z])"
    r"|(?P<letter>[A-Za-zµ])'*|(?P<sign>\*\*|[-+*/^_!()\[\]{}|,;]))"
)


def tokens_of(text: str) -> list[str]:
    """The tokens of a formula.

    Raises:
        Unreadable: something in it is no token.
    """
    found: list[str] = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None or len(found) > MOST_TOKENS:
            raise Unreadable
        token = match[0].strip()
        if match["word"]:
            token = "\\" + token
        position = match.end()
        if match["repeating"] and "." in match["number"]:
            token = _repeated(match["number"])
        elif match["repeating"]:
            token, position = match["number"], match.end("number")
        found.append(token)
    return found


def _repeated(number: str) -> str:
    """A decimal whose end goes on, `0.1666...`, with as many digits as matter."""
    whole, _, digits = number.partition(".")
    if len(digits) < 2:
        raise Unreadable
    for length in range(1, len(digits) // 2 + 1):
        if digits[-length:] == digits[-2 * length : -length]:
            return f"{whole}.{digits}{digits[-length:] * 40}"
    return number
