"""Values with words for names: `maximum 5, minimum -3`, `最大值为5，最小值为-3`."""

import re

from stages.verifiers.values import Read, Relation, Value, Words

VERB = r"(?:\s*(?:is|are|equals|=|:|为|是|等于)\s*|\s+|(?<=[\u4e00-\u9fff]))"
LABELLED = re.compile(
    rf"(?:the |its |a )?(?P<name>[A-Za-z]{{3,}}(?: (?!is\b|are\b|equals\b)[a-z]+){{0,3}}?"
    rf"|(?:[^,;:=\d]{{0,12}}的)?[\u4e00-\u9fff]{{1,6}}?){VERB}(?P<value>[-+]?\s?[\d\\(.].*)",
    re.IGNORECASE,
)
COMMON = re.compile(r"^.*的|(?:value)s?$|^the ")
OPEN = re.compile(
    r"\b(?:not|no|or|and|if|never|either|neither|wrong|about|than|least|most)\b|不|非|或|和|多|少|又",
    re.IGNORECASE,
)
"""A text with these is no name of a value."""
LONGEST_NAME = 48
EXTREMES = (
    re.compile("max|最大|greatest|largest|highest|最高"),
    re.compile("min|最小|least|smallest|lowest|最低"),
)


def labelled_values(parts: list[str], read: Read) -> list[Value] | None:
    """The values of several parts that each begin with a name of their own; None: some do not."""
    matches = [LABELLED.fullmatch(part) for part in parts]
    found = [match for match in matches if match and not OPEN.search(match["name"])]
    if len(found) < max(2, len(parts)) or len({match["name"].lower() for match in found}) < len(found):
        return None
    return [
        Relation((Words(match["name"]), read(match["value"])), ("=",), (match["name"], match["value"]))
        for match in found
    ]


def is_word_name(text: str) -> bool:
    """Whether a text in words can be the name of a value that an equation gives it."""
    return (
        len(text) <= LONGEST_NAME
        and re.fullmatch(r"[A-Za-z\u4e00-\u9fff][\w' \u4e00-\u9fff]*", text) is not None
        and not OPEN.search(text)
        and re.search(r"[A-Za-z]{3}|[\u4e00-\u9fff]", text) is not None
    )


def order_in(question: str, names: list[str]) -> list[int] | None:
    """In which order a question speaks of the names of several values; None: not of all of them."""
    asked = question.lower().replace(" ", "")
    places = [_place(asked, name.lower().replace(" ", "")) for name in names]
    if any(place < 0 for place in places) or len(set(places)) < len(places):
        return None
    return sorted(range(len(names)), key=lambda at: places[at])


def _place(question: str, name: str) -> int:
    for pattern in EXTREMES:
        if pattern.search(name):
            match = pattern.search(question)
            return match.start() if match else -1
    name = COMMON.sub("", name)
    return question.find(name) if len(name) > 1 else -1
