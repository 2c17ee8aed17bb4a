"""Whether an answer's value is the gold one: by the type of the gold answer, exactly and fast.

The rules are three-valued: true, false, or None where a rule can't tell, which is then a matter for
the symbolic engine. Nothing here takes long, whatever the answers are.
"""

from dataclasses import replace

from stages.verifiers.arithmetic import Undefined, constant, identical, same_number
from stages.verifiers.expressions import Node, functions, symbols
from stages.verifiers.progressions import progression_of, same_steps
from stages.verifiers.quantity_rules import same_quantity
from stages.verifiers.regions import End, Piece, as_interval, is_region, pieces
from stages.verifiers.relations import (
    Named,
    is_other_unknown,
    named,
    rising,
    same_points,
    with_argument,
)
from stages.verifiers.renaming import with_number
from stages.verifiers.several import Truth, all_same, every, same_several
from stages.verifiers.terms import Terms
from stages.verifiers.text import same_text, squeezed
from stages.verifiers.times import same_moment
from stages.verifiers.unit_vectors import components
from stages.verifiers.values import (
    Either,
    Line,
    Matrix,
    Moment,
    Progression,
    Quantity,
    Ratio,
    Region,
    Relation,
    Sequence,
    Value,
    Words,
)


def same(gold: Value, answer: Value, terms: Terms) -> Truth:
    """Whether two values are the same; None: it can't be told here.

    Args:
        gold: the gold answer, read.
        answer: the response's answer, read alike.
        terms: what the question lays down.
    """
    if gold == answer and not isinstance(gold, Words):
        return True
    if isinstance(gold, Either) or isinstance(answer, Either):
        return False
    if isinstance(gold, Progression) or isinstance(answer, Progression):
        return _same_progression(gold, answer, terms)
    if isinstance(gold, Relation) or isinstance(answer, Relation):
        return _same_relation(gold, answer, terms)
    if is_region(gold) or is_region(answer):
        return _same_region(gold, answer, terms)
    match gold, answer:
        case Sequence(opening="["), Ratio() if "ratio" not in terms.question:
            return all_same(gold.items, answer.terms, terms, same)
        case Quantity(), Quantity():
            return same_quantity(gold, answer, terms)
        case Words(), Words():
            return same_text(gold.text, answer.text, terms.question)
        case Moment(), Moment():
            return same_moment(gold, answer)
        case Matrix(), Matrix():
            return _same_matrix(gold, answer, terms)
        case (Quantity(), Sequence() | Matrix()) | (Sequence() | Matrix(), Quantity()) if (
            pair := _with_components(gold, answer)
        ):
            return all_same(*pair, terms, same)
        case Matrix(), Quantity() if (square := _scaled_identity(answer.node, len(gold.rows))):
            return _same_matrix(gold, square, terms)
        case (Matrix(), Sequence()) if (rows := _rows(answer)) is not None:
            return _same_matrix(gold, rows, terms)
        case (Sequence(), Matrix()) if (rows := _rows(gold)) is not None:
            return _same_matrix(rows, answer, terms)
        case (Sequence(), _) | (_, Sequence()) | (Matrix(), _) | (_, Matrix()):
            return same_several(gold, answer, terms, same)
        case (Ratio(), _) | (_, Ratio()):
            return _same_ratio(gold, answer, terms)
    return None if isinstance(gold, Words) != isinstance(answer, Words) else False


def _same_progression(gold: Value, answer: Value, terms: Terms) -> Truth:
    ours, theirs = (
        one if isinstance(one, Progression) else progression_of(one) for one in (gold, answer)
    )
    if ours and theirs:
        return same_steps(ours, theirs)
    # Where only one side says that a letter is every integer, it counts as it is written.
    plain = [one.formula if isinstance(one, Progression) else one for one in (gold, answer)]
    if plain[0] is None or plain[1] is None:
        return None if isinstance(answer, Words) else False
    return same(plain[0], plain[1], terms)


def _same_relation(gold: Value, answer: Value, terms: Terms) -> Truth:
    ours, theirs = named(gold), named(answer)
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        if gold.is_equation != answer.is_equation:
            return False
        if not gold.is_equation:
            return _same_inequality(gold, answer, terms)
        if ours and theirs:
            return _same_named(ours, theirs, gold, answer, terms)
        if ours and ours.label == "":
            return same(ours.value, theirs.value, terms) if theirs else False
        return same_points(gold, answer)
    if isinstance(gold, Relation):
        if ours:
            return same(ours.value, answer, terms)
        if gold.is_equation:
            return False
        if isinstance(answer, Sequence) and len(answer.items) == len(gold.sides) > 2:
            if not answer.opening:
                strict = replace(terms, renaming=False)
                return all_same(rising(gold).sides, answer.items, strict, same)
        return _same_region(gold, answer, terms)
    if theirs:
        return not is_other_unknown(theirs, terms) and same(gold, theirs.value, terms)
    if isinstance(gold, Matrix) and isinstance(answer, Relation) and answer.is_equation:
        return same(gold, answer.sides[-1], terms)  # a product of matrices, and what it is
    if isinstance(answer, Relation) and answer.is_equation and _is_identity(answer):
        return same(gold, answer.sides[-1], terms)
    if isinstance(answer, Relation) and answer.is_equation and len(answer.sides) == 2:
        if squeezed(answer.texts[0]) in squeezed(terms.question) and len(answer.texts[0]) > 1:
            return same(gold, answer.sides[1], terms)  # x + y = 7, where x + y was asked for
    if isinstance(answer, Relation) and answer.is_equation:
        return False
    return _same_region(gold, answer, terms)


def _is_identity(relation: Relation) -> bool:
    """Whether an equation only writes one formula in several ways."""
    nodes = [side.node for side in relation.sides if isinstance(side, Quantity)]
    if len(nodes) != len(relation.sides) or not symbols(nodes[0]):
        return False
    return all(identical(nodes[0], node) for node in nodes[1:])


def _same_named(
    ours: Named, theirs: Named, gold: Relation, answer: Relation, terms: Terms
) -> Truth:
    """Whether two equations that name values agree: as equations, or in name and value."""
    if ours.label and theirs.label and ours.label != theirs.label:
        if same_points(gold, answer):
            return True
        functions = ours.argument is not None or theirs.argument is not None
        if not functions and _is_plain(ours) and _is_plain(theirs):
            return False
    if ours.argument is not None and theirs.argument is not None:
        return same(ours.value, with_argument(theirs, ours.argument), terms)
    return same(ours.value, theirs.value, terms)


def _is_plain(found: Named) -> bool:
    """Whether a name is one letter, which another letter contradicts."""
    return len(found.label) == 1


def _same_inequality(gold: Relation, answer: Relation, terms: Terms) -> Truth:
    ours, theirs = rising(gold), rising(answer)
    if ours.signs == theirs.signs:
        found = all_same(ours.sides, theirs.sides, replace(terms, renaming=False), same)
        if found:
            return True
    if len(gold.sides) == len(answer.sides) == 2:
        found = same_points(gold, answer)
        if found:
            return True
    left, right = pieces(gold), pieces(answer)
    if left is None or right is None:
        return None if len(gold.sides) == len(answer.sides) == 2 and found is None else False
    return _same_pieces(left, right, terms)


def _same_region(gold: Value, answer: Value, terms: Terms) -> Truth:
    gold, answer = as_interval(gold), as_interval(answer)
    if isinstance(gold, Sequence) and isinstance(answer, Sequence):
        if len(gold.items) == len(answer.items) == 2 and gold.opening and answer.opening:
            if (gold.opening, gold.closing) != (answer.opening, answer.closing):
                return False
            return all_same(gold.items, answer.items, terms, same)
    if isinstance(gold, Region) and isinstance(answer, Region):
        if gold.operation == answer.operation and len(gold.pieces) == len(answer.pieces):
            if all_same(gold.pieces, answer.pieces, terms, same):
                return True
    if isinstance(gold, Words) or isinstance(answer, Words):
        return None
    if isinstance(answer, Quantity) and not isinstance(gold, (Line, Region)):
        return False
    if isinstance(gold, Quantity) and not symbols(gold.node) and isinstance(answer, Line):
        return False
    if isinstance(answer, Quantity) and "infinity" in functions(answer.node):
        return False
    left, right = pieces(gold), pieces(answer)
    if left is None or right is None:
        return None
    return _same_pieces(left, right, terms)


def _same_pieces(gold: list[Piece], answer: list[Piece], terms: Terms) -> bool:
    return len(gold) == len(answer) and all(
        _same_end(one.low, other.low, terms) and _same_end(one.high, other.high, terms)
        for one, other in zip(gold, answer, strict=True)
    )


def _same_end(gold: End, answer: End, terms: Terms) -> bool:
    if gold.closed != answer.closed:
        return False
    if gold.source is not None and answer.source is not None:
        return bool(same_quantity(gold.source, answer.source, terms))
    return same_number(gold.at, answer.at, 1e-9)


def _with_components(
    gold: Value, answer: Value
) -> tuple[tuple[Value, ...], tuple[Value, ...]] | None:
    """The components of two vectors of which one is a sum of unit vectors; None: neither is."""
    ours, theirs = _components_of(gold, answer), _components_of(answer, gold)
    return (ours, theirs) if ours is not None and theirs is not None else None


def _components_of(value: Value, other: Value) -> tuple[Value, ...] | None:
    if isinstance(value, Matrix):
        return value.flat
    if isinstance(value, Sequence):
        return value.items if value.opening in ("(", "[") else None
    count = len(_components_of(other, value) or ()) if not isinstance(other, Quantity) else 0
    found = components(value.node, count) if isinstance(value, Quantity) else None
    return None if found is None else tuple(Quantity(node) for node in found)


def _same_matrix(gold: Matrix, answer: Matrix, terms: Terms) -> Truth:
    if gold.flat is not None and answer.flat is not None:
        return all_same(gold.flat, answer.flat, terms, same)
    if [len(row) for row in gold.rows] != [len(row) for row in answer.rows]:
        return False
    rows = zip(gold.rows, answer.rows, strict=True)
    return every([all_same(one, other, terms, same) for one, other in rows])


def _scaled_identity(node: Node, size: int) -> Matrix | None:
    """`2I`, or `O` for zero, as a matrix; None: it is neither."""
    names = symbols(node)
    if node == Node("number", "0") or names == {"O"}:
        factor = Node("number", "0")
    elif len(names) == 1 and names <= {"I", "E", f"I_{size}", f"E_{size}"}:
        factor = with_number(node, next(iter(names)), "1")
        if not identical(node, Node("*", "", (factor, Node("symbol", next(iter(names)))))):
            return None
    else:
        return None
    zero = Quantity(Node("number", "0"))
    rows = [[Quantity(factor) if at == row else zero for at in range(size)] for row in range(size)]
    return Matrix(tuple(map(tuple, rows)))


def _rows(value: Sequence) -> Matrix | None:
    """A list of lists as a matrix; None where it is none."""
    rows = [item.items for item in value.items if isinstance(item, Sequence) and item.opening]
    if len(rows) < 2 or len(rows) != len(value.items) or len({len(row) for row in rows}) > 1:
        return None
    return Matrix(tuple(rows))


def _same_ratio(gold: Value, answer: Value, terms: Terms) -> Truth:
    if isinstance(gold, Ratio) and isinstance(answer, Ratio):
        if len(gold.terms) != len(answer.terms):
            return False
        if every(
            [same(one, other, terms) for one, other in zip(gold.terms, answer.terms, strict=True)]
        ):
            return True
        return _same_proportions(gold, answer)
    if isinstance(gold, Ratio):
        quotient = _quotient(gold)
        return None if quotient is None else same(quotient, answer, terms)
    if isinstance(answer, Ratio):
        quotient = _quotient(answer)
        return None if quotient is None else same(gold, quotient, terms)
    return False


def _same_proportions(gold: Ratio, answer: Ratio) -> bool:
    try:
        ours = [constant(term.node) for term in gold.terms if isinstance(term, Quantity)]
        theirs = [constant(term.node) for term in answer.terms if isinstance(term, Quantity)]
    except Undefined:
        return False
    if 0 in theirs or len(ours) != len(theirs):
        return False
    first = ours[0] / theirs[0]
    return all(same_number(one / other, first) for one, other in zip(ours, theirs, strict=True))


def _quotient(ratio: Ratio) -> Quantity | None:
    if len(ratio.terms) != 2:
        return None
    top, bottom = ratio.terms
    if not isinstance(top, Quantity) or not isinstance(bottom, Quantity):
        return None
    return Quantity(Node("/", "", (top.node, bottom.node)))
