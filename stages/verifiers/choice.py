r"""Multiple choice: answers as option letters, by letter or by the option's text."""

import re
from collections.abc import Sequence

from stages.verifiers.text import normalize, numeric_value

LETTER = re.compile(
    r"(?:option|choice|选项)?\s*[(（]?\s*([A-Z])\s*[)）]?(?:\s*[.:：、].*|[)）]\s.*)?", re.DOTALL
)


def is_choice(gold: str, answer_type: str | None, choices: Sequence[str]) -> bool:
    """Whether the gold answer names an option."""
    if choices:
        return choice_letter(gold, choices) is not None
    return answer_type == "choice" and re.fullmatch(r"[A-Z]", gold) is not None


def choice_letter(answer: str, choices: Sequence[str]) -> str | None:
    """The letter of the one option that an answer names; None where it names none or several.

    Args:
        answer: a letter, a letter with its option's text, or an option's text or value.
        choices: the options in the order of their letters; empty: any letter counts.
    """
    plain = normalize(answer)
    matching = [
        chr(65 + index) for index, choice in enumerate(choices) if _same_text(plain, choice)
    ]
    if len(matching) == 1:
        return matching[0]
    match = LETTER.fullmatch(re.sub(r"\\text\w*\{([^{}]*)\}", r"\1", answer).strip().strip("$. "))
    if match is None or (choices and ord(match[1]) - 65 >= len(choices)):
        return None
    return match[1]


def _same_text(plain: str, choice: str) -> bool:
    if plain == normalize(choice):
        return True
    value, other = numeric_value(plain), numeric_value(choice)
    return value is not None and value == other
