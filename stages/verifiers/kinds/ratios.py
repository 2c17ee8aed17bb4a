"""Ratios as proportions and as quotients."""

from stages.verifiers.formulas.arithmetic import Undefined, constant, same_number
from stages.verifiers.formulas.expressions import Node
from stages.verifiers.kinds.values import Quantity, Ratio


def same_proportions(gold: Ratio, answer: Ratio) -> bool:
    """Whether the terms of two ratios are to one another alike, `2:4` and `1:2`."""
    try:
        ours = [constant(term.node) for term in gold.terms if isinstance(term, Quantity)]
        theirs = [constant(term.node) for term in answer.terms if isinstance(term, Quantity)]
    except Undefined:
        return False
    if 0 in theirs or len(ours) != len(theirs):
        return False
    first = ours[0] / theirs[0]
    return all(same_number(one / other, first) for one, other in zip(ours, theirs, strict=True))


def quotient(ratio: Ratio) -> Quantity | None:
    """What a ratio of two terms is worth; None: it has more terms, or they are no numbers."""
    if len(ratio.terms) != 2:
        return None
    top, bottom = ratio.terms
    if not isinstance(top, Quantity) or not isinstance(bottom, Quantity):
        return None
    return Quantity(Node("/", "", (top.node, bottom.node)))
