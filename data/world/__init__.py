"""The built-in world: scenes, questions, prompts and two tiny models to try the whole method on.

Everything here is made from seeds. Questions for training and held-out questions, mixed-in data
and what the tiny models were pre-trained on come from seed ranges that never meet.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from data.world.questions import ask
from data.world.reasoning import reason
from data.world.scenes import make_scene, render

PREFIX = "world:"
SOURCE = "world"

SPLITS = ("pretrain", "train", "heldout", "text", "descriptions")
SEEDS_PER_SPLIT = 1 << 48
SAMPLES_PER_SEED = 1 << 24

QuestionSplit = Literal["train", "heldout"]
DialogueSplit = Literal["text", "descriptions"]


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldSample:
    """A picture and a question about it, with the gold answer."""

    sample_id: str
    """Unique over splits and seeds, for example `world-train-0-000017`."""
    images: tuple[bytes, ...]
    """One PNG."""
    question: str
    """The question; a choice question lists its options as `A. 2 B. 0 C. 3 D. 1`."""
    answer: str
    """A whole number, or the letter of the right option."""
    answer_type: str
    """`number` or `choice`."""
    choices: tuple[str, ...]
    """The options of a choice question in order, else empty."""
    hint: str = ""
    """Always empty: the questions need no hint."""
    source: str = SOURCE
    """Where the sample comes from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldDialogue:
    """A prompt with the response to learn: data that is mixed into training."""

    sample_id: str
    """Unique over splits and seeds, for example `world-text-0-000017`."""
    images: tuple[bytes, ...]
    """One PNG, or nothing where the prompt is text alone."""
    prompt: str
    """What the user says."""
    response: str
    """What the policy should say."""
    source: str = SOURCE
    """Where the dialogue comes from."""


def resolve(path: str) -> str:
    """Turn `world:...` into the path of a file or folder of this package; keep any other path."""
    if not path.startswith(PREFIX):
        return path
    return str(files(__name__).joinpath(path.removeprefix(PREFIX)))


def read_prompt(name: str) -> str:
    """The text of `prompts/<name>.txt`."""
    return files(__name__).joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8")


def scene_seed(split: str, seed: int, index: int) -> int:
    """The seed of one scene; two different arguments never share one."""
    if not 0 <= seed < SEEDS_PER_SPLIT // SAMPLES_PER_SEED:
        raise ValueError(f"seed must be between 0 and {SEEDS_PER_SPLIT // SAMPLES_PER_SEED - 1}")
    if not 0 <= index < SAMPLES_PER_SEED:
        raise ValueError(f"the world has {SAMPLES_PER_SEED} samples for each seed")
    return SPLITS.index(split) * SEEDS_PER_SPLIT + seed * SAMPLES_PER_SEED + index


def iterate_samples(split: QuestionSplit, num_samples: int, seed: int) -> Iterator[WorldSample]:
    """Pictures with questions: `train` to learn from, `heldout` to measure with."""
    for index in range(num_samples):
        scene = make_scene(scene_seed(split, seed, index))
        question = ask(scene, random.Random(f"question {scene.seed}"))
        yield WorldSample(
            sample_id=f"{SOURCE}-{split}-{seed}-{index:06d}",
            images=(render(scene),),
            question=question.text,
            answer=question.answer,
            answer_type=question.answer_type,
            choices=question.choices,
        )


def iterate_dialogues(split: DialogueSplit, num_samples: int, seed: int) -> Iterator[WorldDialogue]:
    """Data to mix in: reasoning about written scenes (`text`), or `descriptions` of pictures."""
    for index in range(num_samples):
        scene = make_scene(scene_seed(split, seed, index))
        sample_id = f"{SOURCE}-{split}-{seed}-{index:06d}"
        if split == "descriptions":
            yield WorldDialogue(
                sample_id=sample_id,
                images=(render(scene),),
                prompt=read_prompt("caption"),
                response=scene.describe(),
            )
            continue
        rng = random.Random(f"dialogue {scene.seed}")
        question = ask(scene, rng)
        yield WorldDialogue(
            sample_id=sample_id,
            images=(),
            prompt=f"{scene.describe()}\n{question.text}",
            response=reason(scene, question, rng),
        )
