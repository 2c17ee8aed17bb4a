"""Make the two tiny models of the world from scratch.

Usage: `python -m data.world.train_models [policy|reasoner|all] [--output FOLDER]`

Seeded, on one thread: 36 minutes for the policy and 19 for the reasoner on two CPU cores that had
other work beside. Weights are stored in bfloat16; use them in float32.
"""

import argparse
import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from data.world import resolve, scene_seed
from data.world.batches import Pictures, collate
from data.world.curriculum import (
    FIRST_PICTURE_SKILLS,
    FIRST_TEXT_SKILLS,
    PICTURE_SKILLS,
    TEXT_SKILLS,
    Example,
    Skill,
    corpus,
    reason_text,
    step_text,
)
from data.world.scenes import Scene, make_scene
from data.world.tiny_models import make_policy, make_processor, make_reasoner, make_tokenizer

logger = logging.getLogger(__name__)

Batch = dict[str, torch.Tensor]

SEED = 0
NUM_SCENES = 8192
VOCABULARY_LIMIT = 512
NUM_LENGTHS = 3
"""Into how many batches examples go by length, so that short ones are not padded to long ones."""
BETAS = (0.9, 0.98)
WARM_UP_FRACTION = 0.1
WEIGHT_DECAY = 0.01
MAX_GRADIENT_NORM = 1.0
STEPS_PER_LOG = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A part of the curriculum."""

    num_steps: int
    peak_learning_rate: float
    """Peak of a one-cycle schedule."""
    num_texts: int
    """Examples of text alone in each step."""
    text_skills: Mapping[Skill, float]
    """What these texts are for, with its share."""
    num_pictures: int = 0
    """Examples with a picture in each step."""
    picture_skills: Mapping[Skill, float] = field(default_factory=dict)
    """What these pictures are for, with its share."""


POLICY_STAGES = (
    # First to find the cells of a picture, always at the same distance.
    Stage(
        num_steps=1000,
        peak_learning_rate=1.5e-3,
        num_texts=16,
        text_skills=FIRST_TEXT_SKILLS,
        num_pictures=32,
        picture_skills=FIRST_PICTURE_SKILLS,
    ),
    # Then to find them from anywhere.
    Stage(
        num_steps=900,
        peak_learning_rate=1.5e-3,
        num_texts=8,
        text_skills=TEXT_SKILLS,
        num_pictures=32,
        picture_skills=PICTURE_SKILLS,
    ),
    # And then to handle text, without forgetting how to see.
    Stage(
        num_steps=800,
        peak_learning_rate=1.5e-3,
        num_texts=40,
        text_skills=TEXT_SKILLS,
        num_pictures=32,
        picture_skills=PICTURE_SKILLS,
    ),
)
REASONER_STAGES = (
    Stage(
        num_steps=1600,
        peak_learning_rate=2e-3,
        num_texts=32,
        text_skills={reason_text: 0.75, step_text: 0.25},
    ),
)


def train_policy(folder: Path) -> None:
    """Train the policy on descriptions, direct answers and elementary text, and save it."""
    tokenizer = make_tokenizer(corpus(), VOCABULARY_LIMIT, multimodal=True)
    processor = make_processor(tokenizer)
    model = make_policy(tokenizer)
    pictures = Pictures(processor, NUM_SCENES)
    rng = random.Random(SEED)

    def draw_batches(stage: Stage) -> list[Batch]:
        shown = _draw(stage.picture_skills, pictures.scenes, stage.num_pictures, rng)
        written = _draw(stage.text_skills, pictures.scenes, stage.num_texts, rng)
        return [
            *_batches_by_length(tokenizer, shown, pictures),
            *_batches_by_length(tokenizer, written),
        ]

    for stage in POLICY_STAGES:
        _fit(model, stage, draw_batches)
    processor.save_pretrained(folder)
    _save(model, folder)


def train_reasoner(folder: Path) -> None:
    """Train the reasoner on reasoning about written scenes, and save it."""
    tokenizer = make_tokenizer(corpus(), VOCABULARY_LIMIT, multimodal=False)
    model = make_reasoner(tokenizer)
    rng = random.Random(SEED)
    scenes = [make_scene(scene_seed("pretrain", 1, index)) for index in range(NUM_SCENES)]

    def draw_batches(stage: Stage) -> list[Batch]:
        written = _draw(stage.text_skills, scenes, stage.num_texts, rng)
        return _batches_by_length(tokenizer, written)

    for stage in REASONER_STAGES:
        _fit(model, stage, draw_batches)
    tokenizer.save_pretrained(folder)
    _save(model, folder)


def main() -> None:
    """Train what the command line names."""
    parser = argparse.ArgumentParser(description="Make the tiny models of the world.")
    parser.add_argument("model", choices=["policy", "reasoner", "all"], nargs="?", default="all")
    parser.add_argument(
        "--output", type=Path, default=Path(resolve("world:")), help="default: where they ship"
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # the order of sums, so the weights, depend on the number of threads
    for name, train in {"policy": train_policy, "reasoner": train_reasoner}.items():
        if options.model in (name, "all"):
            torch.manual_seed(SEED)
            train(options.output / name)


def _draw(
    skills: Mapping[Skill, float], scenes: list[Scene], num_examples: int, rng: random.Random
) -> list[Example]:
    drawn = rng.choices(list(skills), weights=list(skills.values()), k=num_examples)
    return [skill(rng.choice(scenes), rng) for skill in drawn]


def _batches_by_length(
    tokenizer: PreTrainedTokenizerFast, examples: list[Example], pictures: Pictures | None = None
) -> list[Batch]:
    examples = sorted(examples, key=lambda example: len(example.prompt) + len(example.response))
    size = math.ceil(len(examples) / NUM_LENGTHS)
    return [
        collate(tokenizer, examples[start : start + size], pictures)
        for start in range(0, len(examples), size)
    ]


def _fit(
    model: PreTrainedModel, stage: Stage, draw_batches: Callable[[Stage], list[Batch]]
) -> None:
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=stage.peak_learning_rate, betas=BETAS, weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, stage.peak_learning_rate, stage.num_steps, pct_start=WARM_UP_FRACTION
    )
    started = time.monotonic()
    for step in range(1, stage.num_steps + 1):
        batches = draw_batches(stage)
        num_examples = sum(len(batch["labels"]) for batch in batches)
        step_loss = 0.0
        for batch in batches:
            # By example, not by token: what takes few words to say has to be learned as well.
            weight = len(batch["labels"]) / num_examples
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = weight * model(**batch).loss
            loss.backward()
            step_loss += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % STEPS_PER_LOG == 0:
            seconds = time.monotonic() - started
            logger.info(
                "step %d of %d: loss %.4f, %.0f s", step, stage.num_steps, step_loss, seconds
            )


def _save(model: PreTrainedModel, folder: Path) -> None:
    model.to(torch.bfloat16).save_pretrained(folder)


if __name__ == "__main__":
    main()
