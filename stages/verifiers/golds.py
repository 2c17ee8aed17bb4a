"""Gold answers, typed once: what kind of answer is wanted, and whether it can be verified."""

import ast
import functools
import re
from dataclasses import dataclass, replace
from typing import Literal

from stages.verifiers.choices.choice import gold_letters
from stages.verifiers.choices.options import options_in, with_capitals
from stages.verifiers.formulas.longs import long_number
from stages.verifiers.graded import graded_kind, problem_of
from stages.verifiers.kinds.countries import is_country
from stages.verifiers.kinds.polarity import is_polar
from stages.verifiers.kinds.quadrants import Quadrants, asks_for_quadrant, quadrants_of
from stages.verifiers.kinds.reading import read
from stages.verifiers.kinds.regions import is_region
from stages.verifiers.kinds.said import sign_alone
from stages.verifiers.kinds.terms import Terms, terms_of
from stages.verifiers.kinds.text import normalize
from stages.verifiers.kinds.values import (
    Line,
    Matrix,
    Moment,
    Progression,
    Quantity,
    Ratio,
    Relation,
    Sequence,
    Value,
    Words,
)
from stages.verifiers.spelling.clean import LONGEST_ANSWER, restore, tidy

ALTERNATIVES = re.compile(r"\s*\\?#\s*\\?#\s*")
LIST_OF_TEXTS = re.compile(r"\[\s*(?:'.*'|\".*\")\s*,?\s*\]", re.DOTALL)
PREFIX = re.compile(
    r"^(?:only|answer|ans\.?|答案?|解)\s*[:：]?\s*(?=[\w\\$(-].*[=\d])", re.IGNORECASE
)
ESCAPED_BRACE = re.compile(r"\\[{}]")
BROKEN = re.compile(r"[\x00-\x08\x0b-\x1f\ufffd]")

Kind = Literal[
    "choice", "yes/no", "number", "formula", "equation", "inequality", "region", "set", "tuple",
    "several", "matrix", "ratio", "time", "text",
]  # fmt: skip
"""What a gold answer that is right or wrong can be."""


@dataclass(frozen=True, slots=True)
class Gold:
    """A gold answer with its type."""

    text: str
    kind: str
    """A `Kind`; `ocr` or `free text`, which are right in part; or `none` where it can't be
    verified."""
    problem: str | None = None
    """Why it can't be verified; None: it can."""
    alternatives: tuple[str, ...] = ()
    """The answers that are accepted, one or more."""
    values: tuple[Value, ...] = ()
    """The same, read."""
    letters: frozenset[str] = frozenset()
    """Of a choice, the right options."""
    options: tuple[str, ...] = ()
    """The options' texts, in the order of their letters."""
    quadrants: Quadrants = frozenset()
    """The quadrants of the plane that it names."""
    terms: Terms = Terms()  # noqa: RUF009 - frozen


@functools.lru_cache(maxsize=20_000)
def type_gold(
    gold: str, question: str = "", answer_type: str | None = None, choices: tuple[str, ...] = ()
) -> Gold:
    """Read a gold answer.

    Args:
        gold: the answer as the data set has it.
        question: what was asked; its options and what it says of precision and units count.
        answer_type: what the data set says of the answer's kind.
        choices: the options, in the order of their letters.
    """
    if kind := graded_kind(answer_type):
        return _typed_text(gold.strip(), kind)
    text = restore(gold).strip()
    if len(text) > LONGEST_ANSWER:
        text = long_number(text) or text
    question, text = with_capitals(question, text)
    terms = terms_of(question)
    options = choices or options_in(question)
    if problem := _problem(text, options):
        return Gold(text, "none", problem=problem)
    letters = gold_letters(text, answer_type, options, question)
    alternatives = _alternatives(text)
    if alternatives is None:
        return Gold(text, "none", problem="a list of texts: it is not clear if all are wanted")
    values = tuple(read(PREFIX.sub("", tidy(one)), terms.hints) for one in alternatives)
    if any(isinstance(value, Moment) and value.kind == "clock" for value in values):
        terms = replace(terms, hints=replace(terms.hints, clock=True))
    quadrants = quadrants_of(tidy(text), asks_for_quadrant(question))
    kind = "choice" if letters else "text" if quadrants else _kind(text, values[0], question)
    if not letters and not sign_alone(text) and any(_empty(value) for value in values):
        return Gold(text, "none", problem="there is nothing to read in it")
    return Gold(
        text,
        kind,
        alternatives=alternatives,
        values=values,
        letters=letters,
        options=tuple(options),
        quadrants=quadrants,
        terms=terms,
    )


def _typed_text(text: str, kind: str) -> Gold:
    """A gold answer that is compared word by word."""
    if problem := problem_of(text):
        return Gold(text, "none", problem=problem)
    return Gold(text, kind, alternatives=(text,))


def _problem(text: str, options: tuple[str, ...]) -> str | None:
    if not text:
        return "it is empty"
    if len(text) > LONGEST_ANSWER and long_number(text) is None:
        return "it is too long to be a final answer"
    if BROKEN.search(text.replace("\n", " ").replace("\r", " ").replace("\t", " ")):
        return "it holds characters that no reader can make sense of"
    if not _is_balanced(text):
        return "its braces don't balance"
    plain = normalize(text)
    letter = re.fullmatch(r"\(?([a-z])\)?", plain)
    named = options[ord(letter[1]) - 97] if letter and ord(letter[1]) - 97 < len(options) else text
    if options and len(normalize(named)) > 0:
        alike = [option for option in options if normalize(option) == normalize(named)]
        if len(alike) > 1:
            return "several options are the same"
    return None


def _is_balanced(text: str) -> bool:
    r"""Whether each brace that is none of a set's, `\{`, closes or is closed."""
    depth = 0
    for brace in re.findall(r"[{}]", ESCAPED_BRACE.sub("", text)):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return False
    return depth == 0


def _alternatives(text: str) -> tuple[str, ...] | None:
    """The accepted answers; None where a list may as well mean that all of them are wanted."""
    parts = [part for part in ALTERNATIVES.split(text) if part.strip(" $")]
    if len(parts) > 1:
        return tuple(parts)
    if not LIST_OF_TEXTS.fullmatch(text):
        return (text,)
    try:
        items = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return (text,)
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items) or not items:
        return (text,)
    values = [read(item) for item in items]
    if len(items) > 1 and all(isinstance(value, Quantity) and value.literal for value in values):
        from stages.verifiers.kinds.compare import same

        return tuple(items) if all(same(values[0], one, Terms()) for one in values) else None
    return tuple(items)


def _empty(value: Value) -> bool:
    return isinstance(value, Words) and not re.search(r"\w|\\|[√×?→<>=]", value.text)


def _kind(text: str, value: Value, question: str) -> str:
    if is_polar(text, question):
        return "yes/no"
    if is_country(normalize(text), question):
        return "text"
    if is_region(value) and not isinstance(value, Relation):
        return "region"
    match value:
        case Relation():
            return "equation" if value.is_equation else "inequality"
        case Quantity():
            return "number" if value.literal else "formula"
        case Sequence():
            if not value.opening and all(isinstance(item, Words) for item in value.items):
                return "text"
            return {"": "several", "{": "set"}.get(value.opening, "tuple")
        case Matrix():
            return "matrix"
        case Ratio():
            return "ratio"
        case Moment():
            return "time"
        case Line():
            return "region"
        case Progression():
            return "equation"
    return "text"


def plain_text(gold: Gold) -> str:
    """The gold answer in one spelling, for the symbolic engine."""
    return tidy(gold.alternatives[0])
