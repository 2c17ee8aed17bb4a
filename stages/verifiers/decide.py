"""The verdict on an extracted answer, rule by rule; the first rule that can tell decides."""

import functools
import re
from dataclasses import dataclass

from stages.verifiers.choices.choice import chosen_letters, matching
from stages.verifiers.choices.options import numbered_in
from stages.verifiers.choices.romans import are_numbered, statements_of
from stages.verifiers.forms import FORM, breaks_form
from stages.verifiers.golds import Gold, type_gold
from stages.verifiers.kinds.attained import same_extreme
from stages.verifiers.kinds.attributed import same_shares
from stages.verifiers.kinds.bearings import bearing_in, bearing_of
from stages.verifiers.kinds.compare import same
from stages.verifiers.kinds.figures import figure_of
from stages.verifiers.kinds.named_points import same_points_by_name
from stages.verifiers.kinds.orderings import same_order
from stages.verifiers.kinds.piecewise import same_piecewise
from stages.verifiers.kinds.polarity import polarity, stance
from stages.verifiers.kinds.quadrants import asks_for_quadrant, quadrants_in, quadrants_of
from stages.verifiers.kinds.reading import read
from stages.verifiers.kinds.said import is_relation, same_relation
from stages.verifiers.kinds.set_algebra import same_members
from stages.verifiers.kinds.spans import asks_for_span, span_in
from stages.verifiers.kinds.terms import Terms
from stages.verifiers.kinds.text import HEDGE, NEGATION, normalize, same_text, same_words, squeezed
from stages.verifiers.kinds.towers import same_power
from stages.verifiers.kinds.values import Progression, Quantity, Sequence, Value, Words
from stages.verifiers.responses.lines import phrase
from stages.verifiers.screen import is_mathematical, too_hard
from stages.verifiers.spelling.clean import tidy

NUMBERS = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*\w)")
LETTER = re.compile("[A-J]")
DOTS = re.compile(r"\\ldots(?![A-Za-z])|\.\.")
"""What algebra would take for a number."""
EXPLICIT = re.compile(r"(?:option|choice|选项?|故选)\s*[:：]?\s*\(?[A-J]\b", re.IGNORECASE)
NUMBERED = re.compile(
    r"(?:option |choice |选项)?\(?([1-9])\)?(?:[.):、]?\s*|[.):、]\s+(\S.*))", re.IGNORECASE
)
HAN_PLACE = re.compile("[一二三四]")
"""A quadrant, where the question has it that it is one: `第__象限`."""
SENTENCE_WORDS = 6
SENTENCE = 4
"""Words from which an answer may be a sentence around a number."""
OR = re.compile(r"\bor\b|或", re.IGNORECASE)
EITHER_ASKED = re.compile(
    r"\b(?:or|could|can|may|might|possible|possibly)\b|或|可能|可以", re.IGNORECASE
)
ROLES = {"extreme": same_extreme, "cases": same_piecewise, "points": same_points_by_name}
"""Comparisons of texts whose values have a role each, by the name of the rule."""
REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules say of an answer."""

    correct: bool | None
    """None: it is for the symbolic engine, if `engine` says so; else it can't be told."""
    rule: str
    """The rule that decided."""
    engine: tuple[str, str] | None = None
    """Gold and answer for the symbolic engine."""


@functools.lru_cache(maxsize=REMEMBERED)
def decide(
    gold_text: str, answer: str, question: str, answer_type: str | None, choices: tuple[str, ...]
) -> Decision:
    """Compare an extracted answer with a gold answer that can be verified."""
    gold = type_gold(gold_text, question, answer_type, choices)
    if gold.letters:
        return _decide_choice(gold, answer)
    if breaks_form(question, gold.alternatives[0], answer):
        return Decision(False, FORM)
    if (sets := same_members(gold.text, answer)) is not None:
        return Decision(sets, "sets")
    for alternative in gold.alternatives:
        if _identical(alternative, answer):
            return Decision(True, "string")
    if (named := _named_alike(gold.text, answer, question)) is not None:
        return named
    if (numbered := _by_number(gold, answer)) is not None:
        return numbered
    if (statements := _same_statements(gold, answer)) is not None:
        return statements
    if gold.quadrants:
        said = quadrants_in(tidy(answer), asks_for_quadrant(question))
        return Decision(said == gold.quadrants, "quadrant")
    if HAN_PLACE.fullmatch(gold.text) and (said := quadrants_in(tidy(answer), is_asked=False)):
        return Decision(said == quadrants_of(gold.text, is_asked=True), "quadrant")
    if gold.kind == "text" and (bearing := bearing_of(tidy(gold.text))):
        return Decision(bearing_in(tidy(answer)) == bearing, "bearing")
    if gold.kind == "yes/no":
        return Decision(stance(answer, gold.terms.question) is polarity(gold.text), "yes/no")
    if LETTER.fullmatch(gold.text) and EXPLICIT.match(tidy(answer)):
        return Decision(chosen_letters(answer, (), gold.terms) == {gold.text}, "choice")
    if gold.options and (found := _by_letter(gold, answer)) is not None:
        return found
    if (told := _told_apart(gold, answer)) is not None:
        return told
    return _decide_values(gold, answer)


def _told_apart(gold: Gold, answer: str) -> Decision | None:
    """Of a gold answer whose values have a role each, whether the answer gives them the same."""
    ours, theirs = tidy(gold.alternatives[0]), tidy(answer)

    def plainly(text: str) -> Value:
        return read(text, gold.terms.hints)

    if (found := same_order(gold.values[0], theirs, gold.terms, plainly, same)) is not None:
        return Decision(found, "order")
    for rule, compared in ROLES.items():
        if (found := compared(ours, theirs, gold.terms, plainly, same)) is not None:
            return Decision(found, rule)
    if (found := same_shares(ours, theirs, gold.terms.question)) is not None:
        return Decision(found, "shares")
    return None


def _by_number(gold: Gold, answer: str) -> Decision | None:
    """Of a gold answer that is one of the numbered options, by its number or its text."""
    options = numbered_in(gold.terms.question)
    said = NUMBERED.fullmatch(tidy(answer)) if options else None
    if not options or not (said or NUMBERED.fullmatch(gold.text)):
        return None
    ours = _named_option(gold.text, options, gold.terms)
    theirs = _named_option(answer, options, gold.terms)
    return Decision(ours == theirs, "choice") if len(ours) == 1 and theirs else None


def _named_option(text: str, options: tuple[str, ...], terms: Terms) -> frozenset[str]:
    """The option that a text names by number, by its own text, or by both where they agree."""
    match = NUMBERED.fullmatch(tidy(text))
    if match is None:
        return frozenset(matching(text, options, terms))
    letter = frozenset(chr(64 + int(match[1])))
    named = frozenset(matching(match[2], options, terms)) if match[2] else letter
    return letter | named


def _same_statements(gold: Gold, answer: str) -> Decision | None:
    """Of a gold answer such as `I and III only`, whether the answer names the same statements."""
    plain = normalize(gold.text)
    ours = statements_of(plain) if gold.kind != "choice" and not gold.quadrants else frozenset()
    numbered = are_numbered(gold.terms.question)
    if not ours or not (numbered or len(ours) > 1 or "only" in plain):
        return None
    return Decision(statements_of(normalize(answer), in_figures=True) == ours, "statements")


def _named_alike(gold: str, answer: str, question: str) -> Decision | None:
    """Of a gold answer that is a relation or a figure, whether the answer is the same one."""
    if is_relation(gold) and (found := same_relation(gold, answer, question)) is not None:
        return Decision(found, "relation")
    ours = figure_of(tidy(gold))
    theirs = figure_of(tidy(answer)) if ours else None
    return Decision(ours == theirs, "figure") if theirs else None


def _identical(gold: str, answer: str) -> bool:
    if gold == answer or squeezed(gold) == squeezed(answer):
        return True
    left, right = normalize(gold), normalize(answer)
    # Letters that are symbols have their case; words do not.
    return left == right and re.search(r"[a-z]{3,}", left) is not None and "\\" not in left


def _decide_choice(gold: Gold, answer: str) -> Decision:
    plain = normalize(answer)
    if HEDGE.search(plain) and not any(plain == normalize(option) for option in gold.options):
        return Decision(False, "choice")
    chosen = chosen_letters(answer, gold.options, gold.terms)
    for kind in ("choice", "number"):
        if not chosen and gold.options and (stated := _stated(answer, kind)):
            chosen = chosen_letters(stated, gold.options, gold.terms)
    if len(chosen) > 1 and re.search(r"\bor\b|或|/", plain):
        return Decision(False, "choice")
    return Decision(chosen == gold.letters, "choice")


def _by_letter(gold: Gold, answer: str) -> Decision | None:
    """A letter for a gold answer that is no option but, it may be, an option's value."""
    plain = tidy(answer)
    if not re.fullmatch(r"[(\[]?[A-J][)\]]?", plain):
        return None
    index = ord(plain.strip("()[]")) - 65
    if index >= len(gold.options) or not isinstance(gold.values[0], Quantity):
        return None
    found = same(gold.values[0], read(gold.options[index], gold.terms.hints), gold.terms)
    return Decision(bool(found), "choice")


def _is_undecided(gold: Gold, answer: str) -> bool:
    """Whether an answer names with `or` between them the things that the gold answer lists."""
    wanted = gold.values[0]
    if not isinstance(wanted, Sequence) or not OR.search(tidy(answer)):
        return False
    if OR.search(gold.text) or EITHER_ASKED.search(gold.terms.question):
        return False
    return all(
        isinstance(item, Words) or (isinstance(item, Quantity) and item.node.name.isupper())
        for item in wanted.items
    )


def _decide_values(gold: Gold, answer: str) -> Decision:
    if _is_undecided(gold, answer):
        return Decision(False, "or")
    value = _read(gold, answer)
    unsure = False
    for wanted, alternative in zip(gold.values, gold.alternatives, strict=True):
        found = same(wanted, value, gold.terms)
        if not found and (isinstance(wanted, Words) or isinstance(value, Words)):
            found = _same_words(alternative, wanted, answer, value, gold)
        if found:
            return Decision(True, gold.kind)
        unsure = unsure or found is None
    if unsure and (powers := same_power(gold.values[0], value)) is not None:
        return Decision(powers, "power")
    pair = tidy(gold.alternatives[0]), tidy(answer)
    # Of numbers at equal steps the engine knows nothing.
    is_ours = any(DOTS.search(one) for one in pair) or isinstance(gold.values[0], Progression)
    if not unsure or is_ours:
        return Decision(False, gold.kind)
    if too_hard(pair[0]):
        return Decision(None, "screen")
    if too_hard(pair[1]):
        # A number is not given as a formula that nobody can work out; a formula may be.
        return Decision(False if gold.kind == "number" else None, "screen")
    return Decision(None, "math", pair)


def _read(gold: Gold, answer: str) -> Value:
    """An answer, read; two years as the gold answer writes them where they were asked for."""
    wanted = gold.values[0]
    is_pair = isinstance(wanted, Sequence) and len(wanted.items) == 2
    if isinstance(wanted, Sequence) and is_pair and asks_for_span(gold.terms.question):
        if span := span_in(tidy(answer)):
            return Sequence(tuple(map(read, span)), wanted.opening, wanted.closing)
    return read(answer, gold.terms.hints)


def _same_words(
    alternative: str, wanted: Value, answer: str, value: Value, gold: Gold
) -> bool | None:
    """Words against words or against something else; None: both are mathematics of some kind."""
    if not isinstance(wanted, Words):
        if same_words(alternative, answer):
            return True
        if stated := _stated(answer, gold.kind):
            return same(wanted, read(stated, gold.terms.hints), gold.terms)
    elif same_text(alternative, answer, gold.terms.question):
        return True
    if isinstance(wanted, Words) and (found := _same_figures(wanted.text, answer)) is not None:
        return found
    mathematical = is_mathematical(tidy(alternative)) and is_mathematical(tidy(answer))
    if isinstance(wanted, Words) and not re.search(r"\\[a-z]|[=^]", wanted.text):
        return False
    return None if mathematical else False


def _stated(answer: str, kind: str) -> str | None:
    """What an answer that is a sentence states; None: it is none, or leaves it open."""
    plain = tidy(answer)
    if len(answer.split()) < SENTENCE or NEGATION.search(plain) or HEDGE.search(plain):
        return None
    stated = phrase(plain, kind)
    return stated if stated and tidy(stated) != plain else None


def _same_figures(gold: str, answer: str) -> bool | None:
    """Whether a gold sentence and an answer give the same numbers in the same order.

    None: the gold answer is no sentence around several numbers.
    """
    ours = NUMBERS.findall(gold)
    if len(ours) < 2 or len(re.findall(r"[A-Za-z]{2,}|[\u4e00-\u9fff]", gold)) < SENTENCE_WORDS:
        return None
    plain = tidy(answer)
    if NEGATION.search(plain) or HEDGE.search(plain):
        return False
    return NUMBERS.findall(plain) == ours
