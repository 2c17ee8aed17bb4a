r"""Multiple choice: answers as option letters, by letter, by the option's text or by its value."""

import functools
import re
from collections.abc import Sequence

from stages.verifiers.choices.options import is_wrong_asked, stem_of
from stages.verifiers.choices.paraphrase import paraphrased
from stages.verifiers.choices.places import placed
from stages.verifiers.choices.together import FRONT, all_of, each_of
from stages.verifiers.kinds.compare import same
from stages.verifiers.kinds.quadrants import quadrants_in, quadrants_of
from stages.verifiers.kinds.reading import read
from stages.verifiers.kinds.terms import Terms
from stages.verifiers.kinds.text import NEGATION, normalize, words_of
from stages.verifiers.kinds.values import Words
from stages.verifiers.spelling.clean import tidy

LETTER = re.compile(
    r"(?:(?:option|choice|answer|选项"
    r"|选)\s*[:：]?\s*)?[(\[<]?\s*([A-Za-z])\s*[)\]>]?\s*(?:选项|项)?"
    r"(?P<rest>\s*[.:,)、]\s*.*|\s*\(.*\)|\s+.*|(?:错误?|不正确|不对)的?)?",
    re.DOTALL | re.IGNORECASE,
)
WRONG = re.compile(
    r"(?:(?:is|was|can be|must be|has been)\s+)?"
    r"(?:(?:not|never) (?:correct|right|true|valid|possible|the (?:answer|one))|incorrect|wrong"
    r"|false|untrue|invalid|impossible|eliminated|ruled out|excluded|rejected"
    r"|错误?|不正确|不对|不成立|不符合?(?:题意)?)(?:的| (?:option|answer|choice|one))?"
    r"(?:[,，]?\s*(?:because|since|as|因为)\b.*)?",
    re.IGNORECASE | re.DOTALL,
)
"""What is said of an option that is not chosen."""
LISTED = re.compile(r"(?:[,;，；、] ?(?:and |or )?|\b(?:and|or) )\(?([A-J])\)?(?= ?[(:：.)]|$)")
"""A letter after the first one and what it stands for: `A (red), D (white)`."""
SEVERAL = re.compile(
    r"[(\[{]?\s*([A-J](?:(?:[\s,/;&、|+]+(?:and|or)\s+|\s*(?:[和或及]|\\&)\s*|[\s,/;&、|+]+)[A-J])+|[A-J]{2,8})"
    r"\s*[)\]}]?",
    re.IGNORECASE,
)
MULTIPLE = re.compile(
    r"multiple answers|more than one|select all|all that apply|多选|多项"
    r"|which of the .*\bare\b|statements",
    re.IGNORECASE,
)
NEITHER = re.compile(r"\bneither\b.{1,60}\bnor\b")
NONE = re.compile(r"none|neither")
NONE_OF = re.compile(
    r"(?:none|neither) of (?:the (?:above|others?|two|options)|these|them)(?: .*)?"
)
ASKS_LETTER = re.compile(
    r"option|choice|choose|which of the following|multiple[- ]choice|选项|选择|正确的是|题目",
    re.IGNORECASE,
)


def letters_in(answer: str) -> frozenset[str]:
    """Letters of an answer that is nothing but letters: `AC`, `A, C`, `A or B`."""
    plain = FRONT.sub("", re.sub(r"\\?[()\[\]{}]", " ", tidy(answer)).strip())
    match = SEVERAL.fullmatch(plain)
    if match is None:
        return frozenset()
    body = re.sub(r"\b(?:and|or)\b", " ", match[1])
    letters = re.findall(r"[A-Ja-j]", body)
    return frozenset(letter.upper() for letter in letters) if body == body.upper() else frozenset()


def gold_letters(
    gold: str, answer_type: str | None, options: Sequence[str], question: str
) -> frozenset[str]:
    """The letters of the options that the gold answer names; empty where it names none."""
    plain = tidy(gold)
    single = re.fullmatch(r"[(\[]?\s*([A-Z])\s*[)\]]?\s*[.:]?", plain)
    if single and options and ord(single[1]) - 65 < len(options):
        return frozenset(single[1])
    if options:
        several = letters_in(plain) if plain.isupper() else frozenset()
        if several and all(ord(letter) - 65 < len(options) for letter in several):
            if len(several) > 1 and not _is_option(plain, options):
                return several
        found = matching(gold, options)
        if len(found) == 1:
            return frozenset(found)
        labelled = LETTER.fullmatch(plain)
        if labelled and labelled["rest"] and plain[:2].strip("(").isupper():
            letter = labelled[1].upper()
            if letter in matching(labelled["rest"].strip(" .:,)、("), options):
                return frozenset(letter)
        return frozenset()
    if single and (answer_type in CHOICE_TYPES or ASKS_LETTER.search(question)):
        return frozenset(single[1])
    if answer_type in CHOICE_TYPES or MULTIPLE.search(question):
        return letters_in(plain) if plain.isupper() else frozenset()
    return frozenset()


CHOICE_TYPES = (
    "choice",
    "multi_choice",
    "multiple_choice",
    "multiple-choice",
    "mc",
    "multiple choice",
)


def _is_option(plain: str, options: Sequence[str]) -> bool:
    return any(normalize(plain) == normalize(option) for option in options)


def chosen_letters(
    answer: str, options: Sequence[str], terms: Terms | None = None
) -> frozenset[str]:
    """The letters of the options that an answer names, by letter, text or value.

    Args:
        answer: a letter, a letter with its option's text, or an option's text or value.
        options: the options in the order of their letters; empty: any letter counts.
        terms: what the question lays down, for comparing values.
    """
    plain = tidy(answer)
    exact = [
        chr(65 + index) for index, text in enumerate(options) if normalize(plain) == normalize(text)
    ]
    if len(exact) == 1 and len(plain) > 1:
        return frozenset(exact)
    if NONE.fullmatch(normalize(plain)):
        none = [at for at, text in enumerate(options) if NONE_OF.fullmatch(normalize(text))]
        return frozenset(chr(65 + at) for at in none)
    several = letters_in(plain)
    if several and (len(several) > 1 or len(plain) == 1):
        return several
    match = LETTER.fullmatch(plain)
    if match:
        letter, rest = match[1].upper(), (match["rest"] or "").strip(" .:,)、(")
        certain = match[1].isupper() or not rest or plain[0] == "(" or plain[1] == ")"
        if certain and not rest:
            return frozenset(letter) if len(exact) != 1 or exact == [letter] else frozenset(exact)
        if certain and (marked := _agrees(letter, match["rest"], rest, options, terms)):
            return marked
    return _by_text(answer, options, terms)


def _by_text(answer: str, options: Sequence[str], terms: Terms | None) -> frozenset[str]:
    """The letters of the option, or options, whose places, texts or values an answer gives."""
    if found := placed(normalize(answer), options, terms.question if terms else ""):
        return found
    if every := all_of(normalize(answer), len(options)):
        named = [at for at, one in enumerate(options) if all_of(normalize(one), len(options))]
        return frozenset(chr(65 + named[0])) if named else every  # `all of the above`
    if alike := matching(answer, options, terms):
        return frozenset(alike)
    return each_of(tidy(answer), options, lambda part: matching(part, options, terms))


def _agrees(
    letter: str, written: str, rest: str, options: Sequence[str], terms: Terms | None
) -> frozenset[str]:
    """The letter with the text beside it; both, where the text is another option's."""
    if any(other != letter for other in LISTED.findall(rest)):
        return frozenset({letter, *LISTED.findall(rest)})
    if options and ord(letter) - 65 < len(options):
        others = matching(rest, options, terms)
        if others:
            return frozenset({letter, *others}) if letter not in others else frozenset(letter)
    if WRONG.fullmatch(rest):
        asked = terms is not None and is_wrong_asked(terms.question)
        return frozenset(letter) if asked else frozenset()
    if re.match(r"\s*[.:,)、]|\s*\(", written):
        return frozenset(letter)
    if re.match(r"\s+(?:because|since|as|is|which|因为)\b", written):
        return frozenset(letter)
    return frozenset()


@functools.lru_cache(maxsize=20_000)
def _matching(answer: str, options: tuple[str, ...], terms: Terms) -> tuple[str, ...]:
    plain = normalize(answer)
    found = [index for index, option in enumerate(options) if normalize(option) == plain]
    if not found:
        value = read(answer, terms.hints)
        for index, option in enumerate(options):
            other = read(option, terms.hints)
            if isinstance(other, Words) or isinstance(value, Words):
                if words_of(option) == words_of(answer) != []:
                    found.append(index)
            elif same(other, value, terms):
                found.append(index)
    found = found or _neither(plain, options)
    if not found and (said := quadrants_in(tidy(answer), False)):
        found = [at for at, one in enumerate(options) if quadrants_of(tidy(one), False) == said]
    if not found:
        theirs = words_of(answer)
        holding = [
            index
            for index, option in enumerate(options)
            if isinstance(read(option), Words)
            and _holds(theirs, words_of(option))
            and _denials(plain) == _denials(normalize(option))
        ]
        # The longest: `increase` is in `increase then decrease`.
        if holding and not re.search(r"\bor\b", plain):
            words = [words_of(options[index]) for index in holding]
            longest = max(words, key=len)
            found = [
                index
                for index, one in zip(holding, words, strict=True)
                if len(one) == len(longest) or not _holds(longest, one)
            ]
    if not found:
        found = [*paraphrased(answer, options, stem_of(terms.question))]
    return tuple(chr(65 + index) for index in found)


def _denials(plain: str) -> int:
    """How often a text denies: an option it holds counts only where nothing else denies it."""
    return len(NEGATION.findall(plain))


def _neither(plain: str, options: tuple[str, ...]) -> list[int]:
    """Where the option `neither` is, of an answer that turns all others down by name."""
    if not NEITHER.search(plain):
        return []
    names = [normalize(option) for option in options]
    rest = [name for name in names if not name.startswith(("neither", "none"))]
    if len(rest) != len(names) - 1 or not all(name in plain for name in rest):
        return []
    return [at for at, name in enumerate(names) if name not in rest]


def _holds(long: list[str], short: list[str]) -> bool:
    return (
        bool(short)
        and len(long) <= len(short) + 6
        and any(
            long[start : start + len(short)] == short for start in range(len(long) - len(short) + 1)
        )
    )


def matching(answer: str, options: Sequence[str], terms: Terms | None = None) -> tuple[str, ...]:
    """The letters of the options whose text or value an answer gives."""
    return _matching(answer, tuple(options), terms or Terms())


def choice_letter(answer: str, choices: Sequence[str]) -> str | None:
    """The letter of the one option that an answer names; None where it names none or several."""
    chosen = chosen_letters(answer, choices)
    if len(chosen) != 1:
        return None
    (letter,) = chosen
    return letter if not choices or ord(letter) - 65 < len(choices) else None
