r"""How reasoning over a scene is written: the text that the reasoner learns to produce.

It looks at every cell again and numbers those that count, one group after the other; computes;
sometimes checks itself by doing it all again; and ends in `**Final answer** \boxed{...}`.
"""

import random

from data.world.questions import Question, belongs
from data.world.scenes import CELLS, Scene

CHECK_PROBABILITY = 0.25
MAX_CHECKS = 1


def plan(group: str) -> str:
    """What to count next, for example `I count red shapes:`."""
    return f"I count {group}:"


def tally(scene: Scene, group: str) -> str:
    """The cells, numbered if they count: `a1 red circle 1, a2 empty, ... There are 3.` (nine)."""
    total = 0
    cells = []
    for name, shape in zip(CELLS, scene.cells, strict=True):
        cell = f"{name} {shape or 'empty'}"
        if shape is not None and belongs(shape, group):
            total += 1
            cell += f" {total}"
        cells.append(cell)
    return f"{', '.join(cells)}. There are {total}."


def final_answer(question: Question) -> str:
    r"""The last line of a response, for example `**Final answer** \boxed{3}`."""
    return f"**Final answer** \\boxed{{{question.answer}}}"


def reason(scene: Scene, question: Question, rng: random.Random) -> str:
    """A whole response: a `<think>` block with a check now and then, then the final answer."""
    counting = [f"{plan(group)} {tally(scene, group)}" for group in question.groups]
    attempt = "\n".join(counting) + (f" {question.step}" if question.step else "")
    attempts = [attempt]
    while len(attempts) <= MAX_CHECKS and rng.random() < CHECK_PROBABILITY:
        attempts.append(attempt)
    thought = "\nWait, let me check:\n".join(attempts)
    return f"<think>\n{thought}\n</think>\n\n{final_answer(question)}"
