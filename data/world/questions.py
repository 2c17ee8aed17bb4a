"""Questions about scenes whose answers can be verified by rule.

Every question comes down to counting one or two groups of shapes and a small sum, so that a model
that looks before it answers has an edge over one that guesses.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from data.world.scenes import COLORS, FORMS, Scene, Shape

LETTERS = ("A", "B", "C", "D")

ALL_SHAPES = "shapes"
ATTRIBUTES = {f"{color} shapes": color for color in COLORS} | {f"{form}s": form for form in FORMS}
"""Groups with one thing in common, by the name they have in questions."""
GROUPS = (ALL_SHAPES, *ATTRIBUTES)
"""Everything that can be counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question about a scene, with the way to its answer."""

    kind: str
    """A key of `KINDS`."""
    text: str
    """The question as it is asked, options included."""
    groups: tuple[str, ...]
    """What has to be counted, in order: one or two keys of `GROUPS`."""
    step: str
    """What follows from the counts: `3 + 2 = 5.` or `3 is B.`; empty where the count is all."""
    answer: str
    """The gold answer: a number, or the letter of the right option."""
    answer_type: str
    """`number` or `choice`."""
    choices: tuple[str, ...] = ()
    """The options of a choice question, in the order of `LETTERS`."""


def belongs(shape: Shape, group: str) -> bool:
    """Whether a shape is in a group."""
    return group == ALL_SHAPES or ATTRIBUTES[group] in (shape.color, shape.form)


def count(scene: Scene, group: str) -> int:
    """How many shapes of a scene belong to a group."""
    return sum(belongs(shape, group) for shape in scene.cells if shape is not None)


def ask(scene: Scene, rng: random.Random) -> Question:
    """Ask one question about a scene, each kind as often as the others."""
    return KINDS[rng.choice(tuple(KINDS))](scene, rng)


def _ask_count(scene: Scene, rng: random.Random) -> Question:
    group = rng.choice(tuple(ATTRIBUTES))
    answer = str(count(scene, group))
    return Question(
        kind="count",
        text=f"How many {group} are there?",
        groups=(group,),
        step="",
        answer=answer,
        answer_type="number",
    )


def _ask_add(scene: Scene, rng: random.Random) -> Question:
    first, second = rng.sample(tuple(ATTRIBUTES), 2)
    a, b = count(scene, first), count(scene, second)
    return Question(
        kind="add",
        text=f"Add the number of {first} to the number of {second}.",
        groups=(first, second),
        step=f"{a} + {b} = {a + b}.",
        answer=str(a + b),
        answer_type="number",
    )


def _ask_subtract(scene: Scene, rng: random.Random) -> Question:
    group = rng.choice(tuple(ATTRIBUTES))
    a, b = count(scene, ALL_SHAPES), count(scene, group)
    return Question(
        kind="subtract",
        text=f"Subtract all {group}. How many shapes are left?",
        groups=(ALL_SHAPES, group),
        step=f"{a} - {b} = {a - b}.",
        answer=str(a - b),
        answer_type="number",
    )


def _ask_compare(scene: Scene, rng: random.Random) -> Question:
    first, second = rng.sample(tuple(ATTRIBUTES), 2)
    if count(scene, first) < count(scene, second):
        first, second = second, first
    a, b = count(scene, first), count(scene, second)
    return Question(
        kind="compare",
        text=f"How many more {first} than {second} are there?",
        groups=(first, second),
        step=f"{a} - {b} = {a - b}.",
        answer=str(a - b),
        answer_type="number",
    )


def _ask_choice(scene: Scene, rng: random.Random) -> Question:
    group = rng.choice(tuple(ATTRIBUTES))
    right = count(scene, group)
    lowest = max(0, right - rng.randint(0, 3))
    options = [str(n) for n in range(lowest, lowest + len(LETTERS))]
    rng.shuffle(options)
    answer = LETTERS[options.index(str(right))]
    listed = " ".join(f"{x}. {option}" for x, option in zip(LETTERS, options, strict=True))
    return Question(
        kind="choice",
        text=f"How many {group} are there? {listed}",
        groups=(group,),
        step=f"{right} is {answer}.",
        answer=answer,
        answer_type="choice",
        choices=tuple(options),
    )


KINDS: dict[str, Callable[[Scene, random.Random], Question]] = {
    "count": _ask_count,
    "add": _ask_add,
    "subtract": _ask_subtract,
    "compare": _ask_compare,
    "choice": _ask_choice,
}
"""The kinds of questions, each with the function that asks one."""
