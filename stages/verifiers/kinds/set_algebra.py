r"""Sets made of other sets, `A \cap \overline{B}`, `A \cup B'`: the same where they hold the same.

Letters are sets, `U` the whole; two formulas are equal if every element that is in some of the
letters and not in others is in both or in neither.
"""

import functools
import itertools
import re
from collections.abc import Callable

TOKEN = re.compile(
    r"\s*(?:(?P<set>[A-TV-Z])(?![A-Za-z_])|(?P<whole>U)(?![A-Za-z_])|(?P<or>\\cup(?![A-Za-z])|∪|\bunion\b)"
    r"|(?P<and>\\cap(?![A-Za-z])|∩|\bintersect(?:ion|ed with)?\b)"
    r"|(?P<minus>\\setminus(?![A-Za-z])|\\backslash(?![A-Za-z])|∖|\\(?![A-Za-z(){}\[\]])|-|−)"
    r"|(?P<before>(?:\\complement(?![A-Za-z])|∁|C)_\{?U\}?|\\complement(?![A-Za-z])|∁)"
    r"|(?P<over>\\(?:overline|bar)\s*\{)|(?P<open>\()|(?P<close>[)}])"
    r"|(?P<after>\^\s*\{?\s*(?:\\prime|\\complement|[cC']|∁)\s*\}?|'|’|′))"
)
WORDS = (
    (re.compile(r"(?:the )?intersection of ([A-Z]) and ([A-Z])"), r"\1∩\2"),
    (re.compile(r"(?:the )?union of ([A-Z]) and ([A-Z])"), r"\1∪\2"),
    (re.compile(r"(?:the )?complement of ([A-Z])"), r"\1'"),
    (re.compile(r"([A-Z])\s*[与和]\s*([A-Z])\s*的交集"), r"\1∩\2"),
    (re.compile(r"([A-Z])\s*[与和]\s*([A-Z])\s*的并集"), r"\1∪\2"),
    (re.compile(r"([A-Z])\s*的补集"), r"\1'"),
    (re.compile(r"([A-Z])\s*交\s*([A-Z])"), r"\1∩\2"),
    (re.compile(r"([A-Z])\s*并\s*([A-Z])"), r"\1∪\2"),
)
NOISE = re.compile(r"\$|\\[()\[\],;! ]|\\(?:left|right|text|mathrm|displaystyle)(?![A-Za-z])")
SIGN = re.compile(r"\\c[au]p(?![A-Za-z])|[∪∩∁]|complement|setminus|[补交并]")
WRAPPED = re.compile(
    r"\\(?:text(?:bf|it|rm)?|math(?:rm|bf|it|sf|cal)|boldsymbol|bm)\s*\{([^{}]{0,40})\}"
)
FRONT = re.compile(
    r"\s*(?:(?P<name>[A-TV-Z])|(?:the )?shaded (?:region|part|area)|阴影部分(?:表示的集合)?)\s*="
    r"|\s*(?:the )?set\b|\s*集合"
)
"""What names a formula of sets: `P =`, `the set`."""
BUILT = re.compile(
    r"(?:\\\{|\{)\s*(?P<one>[a-z])\s*(?::|\||\\mid(?![A-Za-z])|∣)(?P<body>[^{}|:]+?)(?:\\\}|\})"
)
"""`\\{x : x \\in A, x \\in B\\}`"""
NOT_IN = r"(?:\\notin(?![A-Za-z])|\\not\s*\\in(?![A-Za-z])|∉)"
JOINS = (
    (re.compile(r",|\band\b|且|\\(?:land|wedge)(?![A-Za-z])|∧"), "∩"),
    (re.compile(r"\bor\b|或|\\(?:lor|vee)(?![A-Za-z])|∨"), "∪"),
)
LONGEST = 120
MOST_LETTERS = 5
Test = Callable[[frozenset[str]], bool]


class _Unreadable(Exception):
    """A text is no formula of sets."""


class _Reader:
    """Reads a formula of sets from its tokens."""

    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        self.at = 0
        position = 0
        while position < len(text):
            match = TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise _Unreadable
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()

    def next_is(self, *kinds: str) -> str:
        """Takes the next token if it is of some kind; empty: it is not."""
        if self.at < len(self.tokens) and self.tokens[self.at][0] in kinds:
            self.at += 1
            return self.tokens[self.at - 1][0]
        return ""

    def formula(self) -> Test:
        """Sets joined by signs of one kind; others must stand in brackets."""
        found = self.term()
        first = ""
        while sign := self.next_is("or", "and", "minus"):
            if first and (sign != first or sign == "minus"):
                raise _Unreadable  # which goes first is not agreed on
            first = sign
            found = _joined(sign, found, self.term())
        return found

    def term(self) -> Test:
        """One set, or what is in brackets, with complements around it."""
        if self.next_is("before"):
            inner = self.term()
            return lambda one: not inner(one)
        found: Test
        if self.next_is("open"):
            found = self.formula()
            self.expect("close")
        elif self.next_is("over"):
            barred = self.formula()
            self.expect("close")
            found = lambda one: not barred(one)  # noqa: E731
        elif self.next_is("whole"):
            found = lambda one: True  # noqa: E731
        else:
            name = self.tokens[self.at][1] if self.at < len(self.tokens) else ""
            self.expect("set")
            found = lambda one: name in one  # noqa: E731
        while self.next_is("after"):
            found = _complement(found)
        return found

    def expect(self, kind: str) -> None:
        """Takes a token of a kind that must come now."""
        if not self.next_is(kind):
            raise _Unreadable


def _complement(found: Test) -> Test:
    return lambda one: not found(one)


def _joined(sign: str, left: Test, right: Test) -> Test:
    if sign == "or":
        return lambda one: left(one) or right(one)
    if sign == "and":
        return lambda one: left(one) and right(one)
    return lambda one: left(one) and not right(one)


@functools.lru_cache(maxsize=5_000)
def members_of(text: str) -> tuple[frozenset[str], frozenset[frozenset[str]]] | None:
    """The letters of a formula of sets and which elements it holds; None: it is no such formula.

    An element is the letters that it is in.
    """
    text = _in_signs(WRAPPED.sub(r" \1 ", text))
    text = NOISE.sub(" ", text).replace("\\{", "(").strip(" .。")
    if len(text) > LONGEST or not re.search(r"[A-Z]", text):
        return None
    for words, signs in WORDS:
        text = words.sub(signs, text)
    try:
        reader = _Reader(text)
        test = reader.formula()
    except (_Unreadable, RecursionError):
        return None
    letters = sorted({name for kind, name in reader.tokens if kind == "set"})
    if reader.at < len(reader.tokens) or not 0 < len(letters) <= MOST_LETTERS:
        return None
    elements = [
        frozenset(name for name, is_in in zip(letters, bits, strict=True) if is_in)
        for bits in itertools.product((False, True), repeat=len(letters))
    ]
    return frozenset(letters), frozenset(one for one in elements if test(one))


def _in_signs(text: str) -> str:
    """A formula without what names it; a set given by its members' sets in signs."""
    front = FRONT.match(text)
    if front and not (front["name"] and front["name"] in text[front.end() :]):
        text = text[front.end() :]
    built = BUILT.fullmatch(text.strip(" .。$"))
    if built is None or len(text) > LONGEST:
        return text
    one, body = built["one"], built["body"]
    body = re.sub(rf"{one}\s*{NOT_IN}\s*([A-Z])", r"\1'", body)
    body = re.sub(rf"{one}\s*(?:\\in(?![A-Za-z])|∈)", "", body)
    for word, sign in JOINS:
        body = word.sub(sign, body)
    return body


def same_members(gold: str, answer: str) -> bool | None:
    """Whether two formulas of sets are the same; None: one of them can't be read as such a formula.

    Where the letters differ they are different sets: nobody writes letters that do not matter.
    """
    ours = members_of(gold)
    if ours is None or not SIGN.search(gold):
        return None
    theirs = members_of(answer)
    if theirs is None and not any(name in answer for name in ours[0]):
        return False  # it speaks of none of the sets
    return None if theirs is None else theirs == ours
