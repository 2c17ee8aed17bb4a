r"""The final answer of a response: what stands after the thinking, in the last box or marker."""

import re

BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
MARKER = re.compile(
    r"(?:\*\*\s*)?final\s+answer(?:\s*\*\*)?\s*(?:is|:|：)?(?:\s*\*\*)?|(?:the\s+)?answer\s+is\s*:?"
    r"|answer\s*:|最终答案[是为]?[：:]?|答案(?:[是为][：:]?|[：:])",
    re.IGNORECASE,
)
LONGEST_ANSWER = 500
"""Characters; what is longer is an argument, not an answer."""
MOST_BOXES = 50
"""A response that repeats unbalanced boxes without end has no answer."""


def extract_answer(text: str) -> str | None:
    """The final answer of a response, or None where it has none.

    An answer inside the thinking does not count: what is searched follows the last `</think>`, and
    a response whose `<think>` never closes has no answer. The last box wins, then the last marker
    such as `Final answer:`.
    """
    _, closed, tail = text.rpartition("</think>")
    if not closed and "<think>" in text:
        return None
    answer = last_box(tail) if BOX.search(tail) else _after_marker(tail)
    if answer is None:
        return None
    answer = answer.strip()
    return answer if 0 < len(answer) <= LONGEST_ANSWER else None


def last_box(text: str) -> str | None:
    r"""Content of the last `\boxed{...}` whose braces balance, of the last few boxes there are."""
    for start in reversed([match.end() for match in BOX.finditer(text)][-MOST_BOXES:]):
        depth = 1
        for position in range(start, min(len(text), start + LONGEST_ANSWER + 1)):
            if text[position - 1] == "\\" and text[position - 2 : position] != "\\\\":
                continue  # an escaped brace is text
            depth += {"{": 1, "}": -1}.get(text[position], 0)
            if depth == 0:
                return text[start:position]
    return None


def _after_marker(text: str) -> str | None:
    matches = list(MARKER.finditer(text))
    if not matches:
        return None
    lines = [line.strip() for line in text[matches[-1].end() :].strip().splitlines()]
    return lines[0].strip("*$ ").rstrip(".。") if lines else None
