"""Whether several values are the same: lists, sets and tuples, in and out of order."""

from stages.verifiers.kinds.labelled import order_in
from stages.verifiers.kinds.relations import Named, named
from stages.verifiers.kinds.renaming import aligned
from stages.verifiers.kinds.terms import Same, Terms
from stages.verifiers.kinds.text import squeezed
from stages.verifiers.kinds.values import Matrix, Relation, Sequence, Value

Truth = bool | None
"""Compares two values of any type, as `compare.same` does."""


def every(found: list[Truth]) -> Truth:
    """True if all are, false if one is, else None."""
    if any(one is False for one in found):
        return False
    return None if any(one is None for one in found) else True


def same_several(gold: Value, answer: Value, terms: Terms, same: Same) -> Truth:
    """Whether two values, one of them several, are the same."""
    if not isinstance(gold, Sequence | Matrix) and (one := _asked_for(answer, terms)) is not None:
        return same(gold, one, terms)
    answer = aligned(gold, answer, terms)
    ours, theirs = _items(gold), _items(answer)
    if ours is None or theirs is None or _other_ends(gold, answer):
        return False
    if len(ours) == 1 and len(theirs) == 1:
        return same(ours[0], theirs[0], terms)
    if len(ours) != len(theirs):
        if _is_set(gold) and _is_set(answer):
            ours, theirs = _distinct(ours, terms, same), _distinct(theirs, terms, same)
        if len(ours) != len(theirs):
            return False
    labels, others = [named(one) for one in ours], [named(one) for one in theirs]
    if _differ(labels) and _differ(others):
        found = _same_labelled(labels, others, terms, same)
        if found is not None:
            return found
    if isinstance(gold, Sequence) and not gold.opening and not any(labels) and _differ(others):
        names = [other.label for other in others if other is not None]
        if sorted(names) == sorted(terms.unknowns):
            by_name = dict(zip(names, theirs, strict=True))
            return all_same(ours, tuple(by_name[name] for name in terms.unknowns), terms, same)
    if not any(labels) and _differ(others):
        names = [other.label for other in others if other is not None]
        if (order := order_in(terms.question, names)) is not None:
            values = [other.value for other in others if other is not None]
            return all_same(ours, tuple(values[at] for at in order), terms, same)
    tuples = any(isinstance(one, Sequence) and one.opening for one in ours)
    if not _is_set(gold) or (terms.ordered and not tuples):
        return _ordered(ours, theirs, others, terms, same)
    if _differ(labels) and not any(others):
        return all_same(ours, theirs, terms, same)
    if not _is_set(answer) and isinstance(answer, Sequence) and answer.opening == "(":
        # A tuple where several values are asked for: its order is as good as any.
        return all_same(ours, theirs, terms, same) or _matched(ours, theirs, terms, same)
    return _matched(ours, theirs, terms, same)


def _asked_for(answer: Value, terms: Terms) -> Value | None:
    """Of several named values, the one whose name the question asks for; None: it can't be told."""
    if not isinstance(answer, Sequence) or answer.opening:
        return None
    if (sole := _sole_asked_for(answer, terms)) is not None:
        return sole
    found = [named(one) for one in answer.items]
    if not _differ(found):
        return None
    wanted = [one for one in found if one is not None and one.label in terms.unknowns]
    if not terms.unknowns:
        asked = squeezed(terms.question)
        wanted = [one for one in found if one is not None and _is_in(one.label, asked)]
    return wanted[0].value if len(wanted) == 1 else None


def _sole_asked_for(answer: Sequence, terms: Terms) -> Value | None:
    """The value of the one sum or other formula, `m + n`, that a question asks for; else None."""
    asked = squeezed(terms.question.replace("$", ""))
    found = [
        one.sides[1]
        for one in answer.items
        if isinstance(one, Relation)
        and one.signs == ("=",)
        and not one.texts[0].strip().isalnum()
        and squeezed(one.texts[0]) in asked
    ]
    return found[0] if len(found) == 1 else None


def _is_in(label: str, question: str) -> bool:
    """Whether a question has a name of several letters in it."""
    return len(label) > 1 and label in question.replace("\\", "")


def _other_ends(gold: Value, answer: Value) -> bool:
    """Whether one is a set and the other not, or an open and the other a closed interval."""
    if not isinstance(gold, Sequence) or not isinstance(answer, Sequence):
        return False
    ends = {gold.opening, answer.opening}
    if "{" in ends and len(ends) == 2 and "" not in ends and len(gold.items) > 1:
        return not any(isinstance(item, Sequence) for item in gold.items)
    return len(gold.items) == 2 and len(ends) == 2 and "[" in ends and "" not in ends


def _items(value: Value) -> tuple[Value, ...] | None:
    if isinstance(value, Matrix):
        return value.flat
    if isinstance(value, Sequence):
        return value.items
    return (value,)


def _is_set(value: Value) -> bool:
    return not isinstance(value, Matrix) and (not isinstance(value, Sequence) or value.is_set)


def _distinct(values: tuple[Value, ...], terms: Terms, same: Same) -> tuple[Value, ...]:
    found: list[Value] = []
    for value in values:
        if not any(same(one, value, terms) for one in found):
            found.append(value)
    return tuple(found)


def _differ(labels: list[Named | None]) -> bool:
    names = [one.label for one in labels if one is not None and one.label]
    return len(names) == len(labels) and len(set(names)) == len(names)


def _same_labelled(
    ours: list[Named | None], theirs: list[Named | None], terms: Terms, same: Same
) -> Truth:
    """Values by their names, where both sides name theirs alike; None: they do not."""
    by_name = {one.label: one for one in theirs if one is not None}
    pairs = [(one, by_name.get(one.label)) for one in ours if one is not None]
    if any(other is None for _, other in pairs):
        return None
    return every([same(one.value, other.value, terms) for one, other in pairs if other])


def _ordered(
    ours: tuple[Value, ...],
    theirs: tuple[Value, ...],
    labels: list[Named | None],
    terms: Terms,
    same: Same,
) -> Truth:
    found = all_same(ours, theirs, terms, same)
    if found is not False or not _differ(labels):
        return found
    # `y = 2, x = 3` for (3, 2): names put their values in order.
    by_name = sorted(
        range(len(theirs)), key=lambda index: (labels[index] or Named("", ours[0])).label
    )
    return all_same(ours, tuple(theirs[index] for index in by_name), terms, same)


def all_same(ours: tuple[Value, ...], theirs: tuple[Value, ...], terms: Terms, same: Same) -> Truth:
    """Whether values are the same one by one."""
    if len(ours) != len(theirs):
        return False
    return every([same(one, other, terms) for one, other in zip(ours, theirs, strict=True)])


def _matched(ours: tuple[Value, ...], theirs: tuple[Value, ...], terms: Terms, same: Same) -> Truth:
    """Whether each value on one side has its own equal on the other, in any order."""
    left = list(theirs)
    unsure = False
    for one in ours:
        for index, other in enumerate(left):
            found = same(one, other, terms)
            if found:
                del left[index]
                break
            unsure = unsure or found is None
        else:
            return None if unsure else False
    return True
