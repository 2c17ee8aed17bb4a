"""What an answer can be, once it is read: the types that `compare` knows how to compare."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Union

from stages.verifiers.formulas.expressions import Node


@dataclass(frozen=True, slots=True)
class Literal:
    """How a plain decimal was written, which says how precise it claims to be."""

    decimals: int
    """Power of ten of its last digit, negated: 2 for `3.14`, 36 for `6.63e-34`."""
    significant: int
    """Digits from the first that is not zero."""
    exact: bool
    """Written without a decimal point or exponent."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A formula or number, perhaps with a unit."""

    node: Node
    literal: Literal | None = None
    """None: no plain decimal, but a fraction, a root or a formula."""
    unit: str | None = None
    """As `units` writes it; None: no unit was given."""
    whole: Node | None = None
    """The formula that it is if its unit is read as unknowns, `3 m` as 3 times m."""
    base: int | None = None
    """Of a number such as `204_5`."""
    counted: str = ""
    """What it is a number of, where that is no unit: `apples`."""


@dataclass(frozen=True, slots=True)
class Words:
    """Text that is no mathematics."""

    text: str


@dataclass(frozen=True, slots=True)
class Either:
    """What leaves open which it is, as one of its parts is in another: `1, 4 or 1`.

    It is equal to nothing.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """Several values: a tuple, an interval, a set, a list, or just several with commas."""

    items: tuple["Value", ...]
    opening: str = ""
    """`(`, `[`, `{`, or nothing."""
    closing: str = ""
    ordered: bool = False
    """Whether its parts were numbered: (1) ...; (2) ...."""

    @property
    def is_set(self) -> bool:
        """Whether the order does not matter."""
        return self.opening in ("", "{") and not self.ordered


@dataclass(frozen=True, slots=True)
class Relation:
    """Sides with signs between them: an equation, an inequality, a chain of either."""

    sides: tuple["Value", ...]
    signs: tuple[str, ...]
    """`=`, `<`, `>`, `<=`, `>=`, `!=`, `~`"""
    texts: tuple[str, ...]
    """The sides as written."""

    @property
    def is_equation(self) -> bool:
        """Whether it says that things are equal, exactly or nearly."""
        return all(sign in "=~" for sign in self.signs)


@dataclass(frozen=True, slots=True)
class Region:
    """A union of pieces of the real line, some of which may be taken away."""

    pieces: tuple["Value", ...]
    """Intervals, inequalities and sets of points."""
    operation: str = "or"
    """`or`: the union; `and`: what they share; `minus`: the first without the others."""


@dataclass(frozen=True, slots=True)
class Line:
    """The whole real line, or nothing at all."""

    empty: bool = False


@dataclass(frozen=True, slots=True)
class Progression:
    """Numbers at equal steps, without end in either direction."""

    step: Node
    start: Node
    """Any one of them."""
    formula: Union["Value", None] = None
    """What they were given by, as read without regard to the letter that counts them."""
    one_way: bool = False
    """Whether the letter is a natural number, so that they have a first one."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of values; a vector is a matrix with one column."""

    rows: tuple[tuple["Value", ...], ...]

    @property
    def flat(self) -> tuple["Value", ...] | None:
        """The entries of a vector; None for a matrix."""
        if all(len(row) == 1 for row in self.rows):
            return tuple(row[0] for row in self.rows)
        return self.rows[0] if len(self.rows) == 1 else None


@dataclass(frozen=True, slots=True)
class Ratio:
    """`5:8`, or more terms."""

    terms: tuple["Value", ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """A time of day or a date, as numbers; which it is says `kind`."""

    kind: str
    """`clock` or `date`"""
    parts: tuple[int, ...]
    half: str = ""
    """`am`, `pm`, not said, or `24` where the hour says it."""


Value = Union[  # noqa: UP007
    Quantity, Words, Either, Sequence, Relation, Region, Line, Progression, Matrix, Ratio, Moment
]
Read = Callable[[str], Value]
"""Reads a part of an answer, as `reading.read` does."""
