"""Chinese discounts: `8折` is 80 % of the price, and what `打几折` asks for is 8."""

from dataclasses import replace

from stages.verifiers.formulas.expressions import Node
from stages.verifiers.kinds.values import Quantity


def discounts(gold: Quantity, answer: Quantity) -> list[tuple[Quantity, Quantity]]:
    """What `8折` and a number beside it can mean: so many tenths, or the percentage to be paid."""
    plain = replace(gold, counted=""), replace(answer, counted="")
    ours, theirs = (
        Quantity(Node("*", "", (one.node, Node("number", "10"))), unit="percent")
        if one.counted == "折"
        else one
        for one in (gold, answer)
    )
    return [plain, (ours, theirs)]
