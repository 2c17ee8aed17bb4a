"""The options of a multiple-choice question, where only its text has them."""

import functools
import re

STYLES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<![A-Za-z\\])[(（]\s*([A-Z])\s*[)）]\s*[.:：、]?\s*",
        r"(?:(?<=\n)|^|(?<=\s)|(?<=[;；。]))([A-Z])\s*[.．、:：)）]\s*",
    )
)
MOST = 12


@functools.lru_cache(maxsize=5_000)
def options_in(question: str) -> tuple[str, ...]:
    """The texts of options A, B, ... in a question, in order; empty where it has none."""
    best: tuple[str, ...] = ()
    for style in STYLES:
        marks = list(style.finditer(question))
        for first, mark in enumerate(marks):
            if mark[1] != "A":
                continue
            run = [mark]
            for later in marks[first + 1 :]:
                if later[1] == chr(ord("A") + len(run)) and len(run) < MOST:
                    run.append(later)
            ends = [*(later.start() for later in run[1:]), len(question)]
            texts = tuple(
                _text(question[one.end() : end]) for one, end in zip(run, ends, strict=True)
            )
            if len(texts) >= 2 and len(texts) >= len(best) and all(texts):
                best = texts
    return best


def _text(part: str) -> str:
    """An option's text: to the end of its line, where others follow on lines of their own."""
    return re.split(r"\n\s*\n|\n(?=[A-Z][a-z])", part.strip())[0].strip().rstrip(";；,，").strip()
