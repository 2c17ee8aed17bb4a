"""Whether an answer's value is the gold one: by the type of the gold answer, exactly and fast.

The rules are three-valued: true, false, or None where a rule can't tell, which is then a matter for
the symbolic engine. Nothing here takes long, whatever the answers are.
"""

from dataclasses import replace

from stages.verifiers.formulas.arithmetic import same_number
from stages.verifiers.formulas.expressions import functions, symbols
from stages.verifiers.kinds.matrices import as_rows, scaled_identity
from stages.verifiers.kinds.named_tuples import in_order
from stages.verifiers.kinds.progressions import progression_of, remainder, same_steps
from stages.verifiers.kinds.quantity_rules import same_quantity
from stages.verifiers.kinds.ratios import quotient, same_proportions
from stages.verifiers.kinds.regions import End, Piece, as_interval, is_region, pieces
from stages.verifiers.kinds.relations import (
    Named,
    as_asked,
    is_identity,
    is_other_unknown,
    named,
    rising,
    same_points,
    with_argument,
)
from stages.verifiers.kinds.several import Truth, all_same, every, same_several
from stages.verifiers.kinds.terms import Terms
from stages.verifiers.kinds.text import same_text, squeezed
from stages.verifiers.kinds.times import same_moment
from stages.verifiers.kinds.unit_vectors import with_components
from stages.verifiers.kinds.values import (
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
            pair := with_components(gold, answer)
        ):
            return all_same(*pair, terms, same)
        case Matrix(), Quantity() if square := scaled_identity(answer.node, len(gold.rows)):
            return _same_matrix(gold, square, terms)
        case (Matrix(), Sequence()) if (rows := as_rows(answer)) is not None:
            return _same_matrix(gold, rows, terms)
        case (Sequence(), Matrix()) if (rows := as_rows(gold)) is not None:
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
    given = [one for one in (gold, answer) if isinstance(one, Progression)]
    if len({one.one_way for one in given}) > 1:
        return False
    if ours and theirs and not given[0].one_way:
        return same_steps(ours, theirs)
    if isinstance(answer, Progression) and (left := remainder(answer, terms.question)):
        return same(gold, left, terms)
    # Where only one side says that a letter is every integer, it counts as it is written.
    plain = [one.formula if isinstance(one, Progression) else one for one in (gold, answer)]
    if plain[0] is None or plain[1] is None:
        return None if isinstance(answer, Words) else False
    return same(plain[0], plain[1], terms)


def _same_relation(gold: Value, answer: Value, terms: Terms) -> Truth:
    ours = named(gold)
    theirs = in_order(as_asked(named(answer), terms), gold, terms)
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
    if isinstance(answer, Relation) and answer.is_equation and is_identity(answer):
        return same(gold, answer.sides[-1], terms)
    if isinstance(answer, Relation) and answer.is_equation and len(answer.sides) == 2:
        if squeezed(answer.texts[0]) in squeezed(terms.question) and len(answer.texts[0]) > 1:
            return same(gold, answer.sides[1], terms)  # x + y = 7, where x + y was asked for
    if isinstance(answer, Relation) and answer.is_equation:
        return False
    return _same_region(gold, answer, terms)


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


def _same_matrix(gold: Matrix, answer: Matrix, terms: Terms) -> Truth:
    if gold.flat is not None and answer.flat is not None:
        return all_same(gold.flat, answer.flat, terms, same)
    if [len(row) for row in gold.rows] != [len(row) for row in answer.rows]:
        return False
    rows = zip(gold.rows, answer.rows, strict=True)
    return every([all_same(one, other, terms, same) for one, other in rows])


def _same_ratio(gold: Value, answer: Value, terms: Terms) -> Truth:
    if isinstance(gold, Ratio) and isinstance(answer, Ratio):
        if len(gold.terms) != len(answer.terms):
            return False
        if every(
            [same(one, other, terms) for one, other in zip(gold.terms, answer.terms, strict=True)]
        ):
            return True
        return same_proportions(gold, answer)
    if isinstance(gold, Ratio):
        value = quotient(gold)
        return None if value is None else same(value, answer, terms)
    if isinstance(answer, Ratio):
        value = quotient(answer)
        return None if value is None else same(gold, value, terms)
    return False
