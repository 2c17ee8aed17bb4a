r"""Formulas as trees: a reader of the LaTeX and plain notation that answers are written in.

Nothing is evaluated here, and nothing that is not a formula is accepted: a text that this grammar
does not cover as a whole raises `Unreadable`.
"""

import functools

from stages.verifiers.formulas.expressions import Node, Unreadable
from stages.verifiers.formulas.tokens import FUNCTIONS, GREEK, MAPS, tokens_of

DEEPEST = 40
TALLEST = 120
"""Levels of a tree: walking it recursively stays far from Python's own limit."""
ENDS = frozenset({"", ")", "]", "}", ",", ";", "\\}"})


def parse(text: str) -> Node:
    """Read a formula.

    Args:
        text: tidied text.

    Raises:
        Unreadable: it is not one formula from beginning to end.
    """
    node = _parse(text)
    if node is None:
        raise Unreadable(text)
    return node


@functools.lru_cache(maxsize=20_000)
def _parse(text: str) -> Node | None:
    try:
        reader = _Reader(tokens_of(text))
        node = reader.total()
        return node if reader.token == "" and _depth(node) <= TALLEST else None
    except (Unreadable, RecursionError):
        return None


def _depth(node: Node) -> int:
    deepest, level = 0, [node]
    while level and deepest <= TALLEST:
        deepest, level = deepest + 1, [part for at in level for part in at.parts]
    return deepest


class _Reader:
    """A recursive descent over tokens."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.position = 0
        self.depth = 0
        self.bars = 0

    @property
    def token(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self, *expected: str) -> str:
        token = self.token
        if token == "" or (expected and token not in expected):
            raise Unreadable
        self.position += 1
        return token

    def total(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable
        node = self.signed()
        while self.token in ("+", "-", "\\pm", "\\mp"):
            sign = self.take()
            node = Node(sign, "", (node, self.product()))
        self.depth -= 1
        return node

    def signed(self) -> Node:
        if self.token in ("+", "-", "\\pm", "\\mp"):
            sign = self.take()
            term = self.signed() if self.token in ("+", "-") else self.product()
            return term if sign == "+" else Node("neg" if sign == "-" else sign, "", (term,))
        return self.product()

    def product(self) -> Node:
        node = self.power()
        while True:
            token = self.token
            if token in ("*", "\\times", "\\cdot"):
                self.take()
                node = Node("*", "", (node, self.factor_with_sign()))
            elif token in ("/", "\\div"):
                self.take()
                node = Node("/", "", (node, self.factor_with_sign()))
            elif self.starts_factor():
                node = self.adjacent(node)
            else:
                return node

    def adjacent(self, node: Node) -> Node:
        """What stands next to a factor: a mixed number's fraction, or one more factor."""
        after_integer = self.tokens[self.position - 1].isdigit()
        start = self.position
        if after_integer and node.kind == "number" and self.token[0].isdigit():
            # `2 1/2`; two numbers side by side are nothing else.
            numerator, _, denominator = self.take(), self.take("/"), self.take()
            if not (numerator.isdigit() and denominator.isdigit()):
                raise Unreadable
            if int(numerator) >= int(denominator):
                raise Unreadable
            fraction = Node("/", "", (Node("number", numerator), Node("number", denominator)))
            return Node("+", "", (node, fraction))
        factor = self.power()
        if self.tokens[start][0].isdigit() and self.tokens[start - 1] != "\\ldots":
            raise Unreadable
        if (
            after_integer
            and node.kind == "number"
            and self.tokens[start] == "\\frac"
            and factor.kind == "/"
            and all(part.kind == "number" and part.name.isdigit() for part in factor.parts)
            and int(factor.parts[0].name) < int(factor.parts[1].name)
        ):
            return Node("+", "", (node, factor))
        return Node("*", "", (node, factor))

    def factor_with_sign(self) -> Node:
        if self.token in ("-", "+"):
            sign = self.take()
            node = self.power()
            return Node("neg", "", (node,)) if sign == "-" else node
        return self.power()

    def starts_factor(self) -> bool:
        token = self.token
        if token in ENDS or token in ("+", "-", "\\pm", "\\mp", "^", "_", "!"):
            return False
        if token == "|":
            return self.bars == 0
        return token not in ("\\rceil", "\\rfloor", "\\%", "\\$", "\\|")

    def power(self) -> Node:
        node = self.postfix(self.atom())
        if self.token in ("^", "**"):
            self.take()
            if self.token == "\\circ":
                self.take()
                return Node("degrees", "", (node,))
            node = self.postfix(Node("^", "", (node, self.exponent())))
        return node

    def postfix(self, node: Node) -> Node:
        while self.token == "!":
            self.take()
            node = Node("!", "", (node,))
        return node

    def exponent(self) -> Node:
        if self.token in ("-", "+"):
            sign = self.take()
            node = self.exponent()
            return Node("neg", "", (node,)) if sign == "-" else node
        node = self.argument()
        if self.token in ("^", "**"):  # 2^3^4
            self.take()
            return Node("^", "", (node, self.exponent()))
        return node

    def group(self, opening: str, closing: str) -> Node:
        self.take(opening)
        bars, self.bars = self.bars, 0
        node = self.total()
        self.bars = bars
        self.take(closing)
        return node

    def atom(self, single: bool = False) -> Node:
        token = self.take()
        if token[0].isdigit() or token[0] == ".":
            if self.token == "_":
                raise Unreadable  # a number in another base
            return Node("number", token)
        if token in ("(", "[", "{"):
            self.position -= 1
            return self.group(token, {"(": ")", "[": "]", "{": "}"}[token])
        if token == "|":
            self.bars += 1
            node = self.total()
            self.take("|")
            self.bars -= 1
            return Node("call", "abs", (node,))
        if token[0].isalpha():
            return self.symbol(token)
        return self.command(token[1:]) if token[0] == "\\" else _fail()

    def symbol(self, name: str) -> Node:
        if self.token == "_":
            self.take()
            name += "_" + self.subscript()
        if name in MAPS and self.token == "(":
            return self.applied(name)
        return Node("symbol", name)

    def applied(self, name: str, opening: str = "(") -> Node:
        self.take(opening)
        arguments = [self.total()]
        while self.token in (",", ";"):
            self.take()
            arguments.append(self.total())
        self.take(")" if opening == "(" else "\\}")
        return Node("call", name, tuple(arguments))

    def subscript(self) -> str:
        if self.token != "{":
            return self.take().lstrip("\\")
        self.take("{")
        parts = []
        while self.token != "}":
            parts.append(self.take().lstrip("\\"))
        self.take("}")
        return "".join(parts)

    def command(self, name: str) -> Node:
        if name == "frac":
            return Node("/", "", (self.argument(), self.argument()))
        if name == "binom":
            return Node("call", "binom", (self.argument(), self.argument()))
        if name == "sqrt":
            index = self.group("[", "]") if self.token == "[" else Node("number", "2")
            return Node("call", "root", (self.argument(), index))
        if name in ("lceil", "lfloor"):
            node = self.total()
            self.take("\\r" + name[1:])
            return Node("call", "ceil" if name == "lceil" else "floor", (node,))
        if name == "vv":
            return self.arrow()
        if name == "pi":
            return Node("call", "pi")
        if name == "infty":
            return Node("call", "infinity")
        if name in FUNCTIONS:
            return self.function(name)
        if name in GREEK:
            if name in ("triangle", "angle"):  # a triangle's name
                raise Unreadable
            return self.symbol(name)
        raise Unreadable

    def arrow(self) -> Node:
        r"""`\vv{AB}`, which leads from one point to another and is the difference of the two."""
        self.take("{")
        start, end = (self.symbol("point_" + self.take()) for _ in range(2))
        self.take("}")
        return Node("-", "", (end, start))

    def argument(self) -> Node:
        return self.group("{", "}") if self.token == "{" else self.atom(single=True)

    def function(self, name: str) -> Node:
        base: Node | None = None
        exponent: Node | None = None
        while self.token in ("_", "^"):
            if self.take() == "_":
                base = self.argument()
            else:
                exponent = self.exponent()
        if name in ("max", "min", "gcd", "lcm"):
            return self.applied(name, "\\{" if self.token == "\\{" else "(")
        argument = self.function_argument()
        if exponent is not None and exponent == Node("neg", "", (Node("number", "1"),)):
            name, exponent = "arc" + name, None
        if name == "log" and base is not None:
            node = Node("call", "log", (argument, base))
        else:
            node = Node("call", name, (argument,))
        return node if exponent is None else Node("^", "", (node, exponent))

    def function_argument(self) -> Node:
        r"""`\sin(x)`, `\sin x`, `\sin 2x`: up to the next sign, function or bracket."""
        if self.token in ("(", "{", "["):
            node = self.power()
            return node
        if self.token == "-":
            self.take()
            return Node("neg", "", (self.function_argument(),))
        node = self.power()
        while self.starts_factor() and self.token not in ("(", "[", "\\times", "\\cdot", "*", "/"):
            if self.token[0] == "\\" and self.token[1:] in FUNCTIONS:
                break
            if self.token == "\\div":
                break
            node = self.adjacent(node)
        if self.token == "/" and node.kind in ("number", "symbol", "call"):
            self.take()
            node = Node("/", "", (node, self.power()))
        return node


def _fail() -> Node:
    raise Unreadable
