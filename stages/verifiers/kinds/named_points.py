"""Points by name, `A(1, 2), B(3, 4)`: where a question names them, each has its own place."""

import re

from stages.verifiers.kinds.terms import Same, Terms
from stages.verifiers.kinds.values import Read
from stages.verifiers.spelling import splitting

POINT = re.compile(r"(?P<name>[A-Z](?:_\{?\d\}?)?'?)\s*(?:=\s*|:\s*)?(?P<place>\([^()]{1,80}\))")
SEPARATOR = re.compile(rf"{splitting.COMMA.pattern}|{splitting.WORD.pattern}")
LONGEST = 400


def points_in(plain: str) -> dict[str, str]:
    """Where the points are that a text consists of; empty where it is anything else."""
    if len(plain) > LONGEST:
        return {}
    parts, _ = splitting.cut(plain, SEPARATOR)
    found = [POINT.fullmatch(part) for part in parts if part]
    places = {re.sub(r"[{}]", "", one["name"]): one["place"] for one in found if one}
    return places if len(places) == len(found) else {}


def same_points_by_name(
    gold: str, answer: str, terms: Terms, read: Read, same: Same
) -> bool | None:
    """Whether points with names that the question gives them are where they should be.

    None: they are no such points, or their names are the answers' own, `F_1` and `F_2`.
    """
    ours = points_in(gold)
    theirs = points_in(answer) if len(ours) > 1 else {}
    if len(ours) < 2 or sorted(ours) != sorted(theirs):
        return None
    asked = re.sub(r"[{}]", "", terms.question)
    if not all(re.search(rf"(?<![A-Za-z]){re.escape(name)}(?![a-z\d])", asked) for name in ours):
        return None
    found = [same(read(ours[name]), read(theirs[name]), terms) for name in ours]
    return False if False in found else None if None in found else True
