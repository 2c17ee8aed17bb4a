"""What the tiny models are pre-trained on.

The policy learns to describe pictures, to answer at once, and a few elementary skills in text:
planning what to count, counting in a written scene, sums. It never sees reasoning about a picture;
putting the skills together is what the method has to teach it. The reasoner learns only to reason
about written scenes.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from data.world import read_prompt, scene_seed
from data.world.questions import GROUPS, Question, ask, count
from data.world.reasoning import final_answer, plan, reason, tally
from data.world.scenes import CELLS, Scene, make_scene

CAPTION_PROMPT = read_prompt("caption")
SYSTEM_PROMPT = read_prompt("system")
REASON_PROMPT = read_prompt("reason")

CORPUS_SCENES = 500
CORPUS_SEED = 2
OTHER_SEED = 3
OTHER_SCENES = 1 << 20

MISTAKE_PROBABILITY = 0.02
"""Of a cell in a description, so that the policy's captions are good, but not perfect."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One turn to learn."""

    prompt: str
    """What the user says."""
    response: str
    """What the model should say."""
    system: str = ""
    """The system prompt; empty: none."""
    scene: Scene | None = None
    """The scene whose picture goes before the prompt; `None`: text alone."""

    @property
    def messages(self) -> list[dict[str, object]]:
        """The prompt as chat messages."""
        user: list[dict[str, str]] = [{"type": "text", "text": self.prompt}]
        if self.scene is not None:
            user.insert(0, {"type": "image"})
        turns: list[dict[str, object]] = [{"role": "user", "content": user}]
        if self.system:
            turns.insert(0, {"role": "system", "content": self.system})
        return turns


def glance(scene: Scene, rng: random.Random) -> Scene:
    """The scene as a hurried look has it: a cell now and then is taken for something else."""
    guess = make_scene(rng.randrange(1 << 40))
    cells = zip(scene.cells, guess.cells, strict=True)
    seen = tuple(other if rng.random() < MISTAKE_PROBABILITY else cell for cell, other in cells)
    return replace(scene, cells=seen)


def describe_picture(scene: Scene, rng: random.Random) -> Example:
    """Picture to description."""
    return Example(
        scene=scene,
        prompt=CAPTION_PROMPT,
        response=glance(scene, rng).describe(),
        system=_some_system_prompt(rng),
    )


def describe_after_text(scene: Scene, rng: random.Random) -> Example:
    """Picture, then text that tells nothing about it, to description.

    It makes the policy look cells up wherever it is in a text, as any policy that can chat does.
    """
    other = make_scene(scene_seed("pretrain", OTHER_SEED, rng.randrange(OTHER_SCENES)))
    cells = other.describe().split(", ")
    lines = [ask(other, rng).text, ", ".join(cells[: rng.randint(0, len(cells))])]
    rng.shuffle(lines)
    return Example(
        scene=scene,
        prompt="\n".join([*lines[: rng.randint(1, 2)], CAPTION_PROMPT]),
        response=scene.describe(),
        system=_some_system_prompt(rng),
    )


def look_up(scene: Scene, rng: random.Random) -> Example:
    """Picture and names of cells, in any order, to what is in them."""
    described = scene.describe().split(", ")
    chosen = rng.sample(range(len(CELLS)), rng.randint(1, len(CELLS)))
    return Example(
        scene=scene,
        prompt=f"What is in {', '.join(CELLS[index] for index in chosen)}?",
        response=", ".join(described[index] for index in chosen),
        system=_some_system_prompt(rng),
    )


def answer_picture(scene: Scene, rng: random.Random) -> Example:
    """Picture and question to a direct answer."""
    question = ask(scene, rng)
    return Example(
        scene=scene,
        prompt=question.text,
        response=_direct_answer(question),
        system=_some_system_prompt(rng),
    )


def answer_text(scene: Scene, rng: random.Random) -> Example:
    """Written scene and question to a direct answer."""
    question = ask(scene, rng)
    return Example(
        prompt=f"{scene.describe()}\n{question.text}",
        response=_direct_answer(question),
        system=_some_system_prompt(rng),
    )


def plan_text(scene: Scene, rng: random.Random) -> Example:
    """Question to what has to be counted."""
    question = ask(scene, rng)
    return Example(
        prompt=f"What do I count? {question.text}", response="\n".join(map(plan, question.groups))
    )


def count_text(scene: Scene, rng: random.Random) -> Example:
    """Written scene to numbered cells."""
    group = rng.choice(GROUPS)
    return Example(prompt=f"{scene.describe()}\n{plan(group)}", response=tally(scene, group))


def step_text(scene: Scene, rng: random.Random) -> Example:
    """Question and counts to what follows from them: a sum, a difference, an option's letter."""
    question = ask(scene, rng)
    counts = [f"There are {count(scene, group)}." for group in question.groups]
    return Example(
        prompt=f"{question.text}\n{' '.join(counts)}",
        response=f"{question.step}\n\n{final_answer(question)}".lstrip(),
    )


def reason_text(scene: Scene, rng: random.Random) -> Example:
    """The reasoner's task: description and question to a whole response."""
    question = ask(scene, rng)
    prompt = REASON_PROMPT.replace("{{caption}}", scene.describe())
    return Example(
        prompt=prompt.replace("{{question}}", question.text),
        response=reason(scene, question, rng),
    )


Skill = Callable[[Scene, random.Random], Example]

FIRST_PICTURE_SKILLS: dict[Skill, float] = {describe_picture: 0.8, answer_picture: 0.2}
"""What the policy learns about pictures at first, with its share."""

PICTURE_SKILLS: dict[Skill, float] = {
    describe_picture: 0.1,
    describe_after_text: 0.5,
    look_up: 0.25,
    answer_picture: 0.15,
}
"""What the policy learns about pictures later, with its share."""

FIRST_TEXT_SKILLS: dict[Skill, float] = {
    count_text: 0.6,
    plan_text: 0.15,
    step_text: 0.15,
    answer_text: 0.1,
}
"""What the policy learns about text at first: above all to find cells by their names."""

TEXT_SKILLS: dict[Skill, float] = {
    count_text: 0.4,
    plan_text: 0.25,
    step_text: 0.3,
    answer_text: 0.05,
}
"""What the policy learns about text later."""


def corpus() -> list[str]:
    """Text to train the tokenizers on: some of every skill, as it looks in a chat."""
    rng = random.Random("corpus")
    texts = []
    for index in range(CORPUS_SCENES):
        scene = make_scene(scene_seed("pretrain", CORPUS_SEED, index))
        for write in (*PICTURE_SKILLS, *TEXT_SKILLS, reason_text):
            example = write(scene, rng)
            texts += [
                f"system\n{example.system}",
                f"user\n{example.prompt}",
                f"assistant\n{example.response}",
            ]
    return texts


def _direct_answer(question: Question) -> str:
    return f"\\boxed{{{question.answer}}}"


def _some_system_prompt(rng: random.Random) -> str:
    return rng.choice(("", SYSTEM_PROMPT))
