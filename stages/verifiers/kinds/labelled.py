"""Values with words for names: `maximum 5, minimum -3`, `最大值为5, 最小值为-3`."""

import itertools
import re

from stages.verifiers.kinds.values import Read, Relation, Value, Words

VERB = r"(?:\s*(?:is|are|equals|=|:|为|是|等于)\s*|\s+|(?<=[\u4e00-\u9fff]))"
LABELLED = re.compile(
    rf"(?:the |its |a )?(?P<name>\\?[A-Za-z]{{3,}}(?: (?!is\b|are\b|equals\b)[a-z]+){{0,3}}?"
    rf"|(?:[^,;:=\d]{{0,12}}的)?[\u4e00-\u9fff]{{1,6}}?){VERB}(?P<value>[-+]?\s?[\d\\(.].*)",
    re.IGNORECASE,
)
CLAUSE = re.compile(r"\s*[,;，；]\s*(?:and |while )?|\s+(?:and|while)\s+")
STATED = re.compile(
    r"(?:[^,;:=]{0,24}的|.{0,30}\bthe )?(?P<name>[A-Za-z]{3,}(?: value)?|[\u4e00-\u9fff]{2,6}?)"
    r"(?: value)?\s*(?:is|are|=|为|是|等于)\s*(?P<value>-?\s?[\d\\][^\s\u4e00-\u9fff]*)"
)
COMMON = re.compile(r"^.*的|(?:value)s?$|^the ")
OPEN = re.compile(
    r"\b(?:not|no|or|and|if|never|either|neither|wrong|about|than|least|most)\b|不|非|或|和|多|少|又",
    re.IGNORECASE,
)
"""A text with these is no name of a value."""
LONGEST_NAME = 48
FARTHEST = 16
"""Characters, spaces not counted, between two names of a list: `imum value and the`."""
EXTREMES = (
    re.compile("max|最大|greatest|largest|highest|最高"),
    re.compile("min|最小|least|smallest|lowest|最低"),
)


def labelled_values(parts: list[str], read: Read) -> list[Value] | None:
    """The values of several parts that each begin with a name of their own; None: some do not."""
    matches = [LABELLED.fullmatch(part) for part in parts]
    found = [match for match in matches if match and not OPEN.search(match["name"])]
    if len(found) < max(2, len(parts)) or len({match["name"].lower() for match in found}) < len(
        found
    ):
        return None
    return [
        Relation(
            (Words(match["name"]), read(match["value"])), ("=",), (match["name"], match["value"])
        )
        for match in found
    ]


def labelled_at_end(sentence: str) -> str | None:
    """The values with names that a sentence ends with; None: it ends with less than two."""
    parts = [part.strip() for part in CLAUSE.split(sentence.replace("$", "")) if part.strip()]
    kept: list[str] = []
    for part in reversed(parts):
        match = STATED.fullmatch(part)
        if match is None or OPEN.search(match["name"]):
            break
        kept.insert(0, f"{match['name']}: {match['value']}")
    return ", ".join(kept) if len(kept) > 1 and len(kept) == len(parts) else None


def is_word_name(text: str) -> bool:
    """Whether a text in words can be the name of a value that an equation gives it."""
    return (
        len(text) <= LONGEST_NAME
        and re.fullmatch(r"[A-Za-z\u4e00-\u9fff][\w' \u4e00-\u9fff]*", text) is not None
        and not OPEN.search(text)
        and re.search(r"[A-Za-z]{3}|[\u4e00-\u9fff]", text) is not None
    )


def order_in(question: str, names: list[str]) -> list[int] | None:
    """In which order a question asks for values by name; None: it does not list all of them."""
    asked = question.lower().replace(" ", "")
    places = [_place(asked, name.lower().replace(" ", "")) for name in names]
    order = sorted(range(len(names)), key=lambda at: places[at])
    found = [places[at] for at in order]
    listed = all(
        one[0] >= 0 and one[1] <= other[0] <= one[1] + FARTHEST
        for one, other in itertools.pairwise(found)
    )
    return order if listed else None


def _place(question: str, name: str) -> tuple[int, int]:
    """Where a name begins and ends in a question; below 0: it is not there."""
    for pattern in EXTREMES:
        if pattern.search(name):
            match = pattern.search(question)
            return match.span() if match else (-1, -1)
    name = COMMON.sub("", name)
    start = question.find(name) if len(name) > 1 else -1
    return start, start + len(name)
