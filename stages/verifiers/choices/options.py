"""The options of a multiple-choice question, where only its text has them."""

import functools
import re

LOWER = re.compile(r"(?:(?<=[\s(（])|^)(?P<open>[(（])?(?P<letter>[a-j])(?P<close>[)）])\s*")
SINGLE = re.compile(r"\W{0,3}([a-j])(?:\W{0,3}|[)）.][^()（）;\n]*)")
STYLES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<![A-Za-z\\])[(（]\s*([A-Z])\s*[)）]\s*[.:：、]?\s*",
        r"(?:(?<=\n)|^|(?<=\s)|(?<=[;；。]))([A-Z])\s*[.．、:：)）]\s*",
    )
)
NUMBERED = re.compile(r"^[ \t]*[(（]?(?P<number>[1-9])[.)）、]\s+(?P<text>\S.*)$", re.MULTILINE)
CHOOSING = re.compile(
    r"\b(?:which|what|choose|select|how (?:many|much))\b|[哪选]|下列", re.IGNORECASE
)
TASK = re.compile(
    r"[?？]|^(?:find|show|prove|what|how|which|calculate|compute|determine|write|draw|求|证|若|当|写)",
    re.IGNORECASE,
)
FALSE_ASKED = re.compile(
    r"\b(?:not|false|incorrect|wrong|except|untrue|never)\b|n't\b|错误的|不正确|不对的|不成立|不符合|错的",
    re.IGNORECASE,
)
BOTH_ASKED = re.compile(r"true or false", re.IGNORECASE)
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


def with_capitals(question: str, gold: str) -> tuple[str, str]:
    """A question whose options are `(a)`, `(b)`, and its gold answer `b`, both with capitals.

    Any other question and gold answer as they are: `(a)` may as well be the first of two tasks.
    """
    single = SINGLE.fullmatch(gold)
    if single is None or options_in(question):
        return question, gold
    capitals = LOWER.sub(lambda match: f"({match['letter'].upper()}) ", question)
    if not options_in(capitals):
        return question, gold
    return capitals, gold[: single.start(1)] + single[1].upper() + gold[single.end(1) :]


@functools.lru_cache(maxsize=5_000)
def stem_of(question: str) -> str:
    """A question without its options."""
    options = options_in(question)
    if not options:
        return question
    marks = [mark for style in STYLES for mark in style.finditer(question) if mark[1] == "A"]
    first = [mark for mark in marks if question.startswith(options[0], mark.end())]
    return question[: first[0].start()] if first else question


def is_wrong_asked(question: str) -> bool:
    """Whether a question asks for the options that are wrong."""
    return bool(FALSE_ASKED.search(stem_of(question))) and not BOTH_ASKED.search(question)


@functools.lru_cache(maxsize=5_000)
def numbered_in(question: str) -> tuple[str, ...]:
    """The texts of options 1, 2, ... in a question, a line each; empty where it has none.

    Tasks are numbered alike, but tell what to do; and an option that is one of the numbers itself
    leaves open what a number means.
    """
    if options_in(question):
        return ()
    marks = list(NUMBERED.finditer(question))
    texts = tuple(mark["text"].strip(" ;；,，") for mark in marks)
    if len(texts) < 2 or [mark["number"] for mark in marks] != [
        str(at + 1) for at in range(len(texts))
    ]:
        return ()
    if not CHOOSING.search(question[: marks[0].start()]) or any(map(TASK.search, texts)):
        return ()
    return () if any(re.fullmatch(r"\d", text) for text in texts) else texts


def _text(part: str) -> str:
    """An option's text: to the end of its line, where others follow on lines of their own."""
    return re.split(r"\n\s*\n|\n(?=[A-Z][a-z])", part.strip())[0].strip().rstrip(";；,，").strip()
