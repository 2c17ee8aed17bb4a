"""The plan: which rows are trained on, as tokens, and which of them in which optimizer step.

It is a pure function of the tables, the settings and the seed: nothing in it depends on how many
ranks there are, and a resumed attempt goes on at the step where the last checkpoint left off.

    PLAN/rows.arrow      tokens, reward and images of each row that is trained on
    PLAN/images.arrow    each image once, encoded
    PLAN/plan.json       steps, and why rows were rejected; written last

The Arrow files are mapped into memory, so that the ranks of a machine share them.
"""

import hashlib
import itertools
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import InputError
from data.tables import sync_folder
from stages.seeds import seed_for
from stages.training.config import Config
from stages.training.mixture import Source
from stages.training.render import Example, Renderer, read_image

ROW_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string()),
        pa.field("prompt_ids", pa.list_(pa.int32())),
        pa.field("response_ids", pa.list_(pa.int32())),
        pa.field("reward", pa.float32()),
        pa.field("images", pa.list_(pa.int32())),
    ]
)
IMAGE_SCHEMA = pa.schema([pa.field("image", pa.large_binary())])
ROWS_PER_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row that is trained on."""

    prompt_ids: np.ndarray[Any, np.dtype[np.int32]]
    response_ids: np.ndarray[Any, np.dtype[np.int32]]
    reward: float
    images: tuple[int, ...]
    """Numbers of its images in the plan."""


@dataclass(frozen=True)
class Plan:
    """An opened plan."""

    folder: Path
    digest: str
    """Of everything it depends on."""
    steps: list[list[int]]
    """Row numbers of each optimizer step."""
    num_trajectories: int
    """Rows that are trajectories; the others are mixed in."""
    rejected: dict[str, int]
    """Reason -> number of rows."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read a finished plan."""
        values = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        return cls(folder, **values)

    @cached_property
    def _rows(self) -> pa.Table:
        return pa.ipc.open_file(pa.memory_map(str(self.folder / "rows.arrow"))).read_all()

    @cached_property
    def _images(self) -> pa.Table:
        return pa.ipc.open_file(pa.memory_map(str(self.folder / "images.arrow"))).read_all()

    @cached_property
    def prompt_lengths(self) -> Sequence[int]:
        """Tokens of each row's prompt."""
        return _lengths(self._rows["prompt_ids"])

    @cached_property
    def response_lengths(self) -> Sequence[int]:
        """Tokens of each row's response."""
        return _lengths(self._rows["response_ids"])

    @property
    def num_rows(self) -> int:
        """Rows that are trained on, mixed-in rows included."""
        return len(self.response_lengths)

    def row(self, number: int) -> Row:
        """One row; its arrays are views of the mapped file."""
        return Row(
            prompt_ids=self._rows["prompt_ids"][number].values.to_numpy(),
            response_ids=self._rows["response_ids"][number].values.to_numpy(),
            reward=self._rows["reward"][number].as_py(),
            images=tuple(self._rows["images"][number].as_py()),
        )

    def image(self, number: int) -> bytes:
        """One encoded image."""
        encoded: bytes = self._images["image"][number].as_py()
        return encoded

    def totals(self) -> dict[str, Any]:
        """What the plan came to, for people."""
        return {
            "num_trajectories": self.num_trajectories,
            "num_rows": self.num_rows,
            "tokens": sum(map(self.num_tokens, range(len(self.steps)))),
            "rejected": self.rejected,
        }

    def num_tokens(self, step: int) -> int:
        """Tokens of a step's prompts and responses."""
        return sum(self.prompt_lengths[row] for row in self.steps[step]) + self.num_targets(step)

    def num_targets(self, step: int) -> int:
        """Response tokens of a step."""
        return sum(self.response_lengths[row] for row in self.steps[step])

    def micro_batches(self, step: int, size: int, num_ranks: int) -> list[list[list[int]]]:
        """A step's rows by rank and micro-batch, rows of like length together.

        Every rank gets the same number of micro-batches, because all of them take part in each
        collective; where rows run out, a micro-batch is empty.
        """
        rows = sorted(
            self.steps[step],
            key=lambda row: (-self.prompt_lengths[row] - self.response_lengths[row], row),
        )
        rounds = -(-len(rows) // (size * num_ranks))
        count = rounds * num_ranks
        cuts = [len(rows) * i // count for i in range(count + 1)]
        batches = [rows[start:end] for start, end in itertools.pairwise(cuts)]
        return [batches[rank::num_ranks] for rank in range(num_ranks)]


@dataclass
class PlanWriter:
    """Renders examples into a new plan. Use as a context manager."""

    folder: Path
    renderer: Renderer
    rejected: Counter[str] = field(default_factory=Counter)
    num_rows: int = 0

    def __enter__(self) -> Self:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._rows = pa.ipc.new_file(self.folder / "rows.arrow", ROW_SCHEMA)
        self._images = pa.ipc.new_file(self.folder / "images.arrow", IMAGE_SCHEMA)
        self._waiting: list[dict[str, Any]] = []
        self._image_numbers: dict[bytes, int] = {}
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._rows.close()
        self._images.close()

    def add(self, example: Example) -> int | None:
        """Render an example; its row number, or None where it is rejected, which is counted."""
        rendered = self.renderer.render(example)
        if isinstance(rendered, str):
            self.rejected[rendered] += 1
            return None
        self._waiting.append(
            {
                "key": example.key,
                "prompt_ids": rendered.prompt_ids,
                "response_ids": rendered.response_ids,
                "reward": example.reward,
                "images": [self._image(image) for image in example.sample.get("images") or []],
            }
        )
        if len(self._waiting) == ROWS_PER_BATCH:
            self._flush()
        self.num_rows += 1
        return self.num_rows - 1

    def _image(self, image: Mapping[str, Any]) -> int:
        encoded = read_image(image)
        content = hashlib.sha256(encoded).digest()
        if content not in self._image_numbers:
            self._images.write(pa.record_batch([[encoded]], schema=IMAGE_SCHEMA))
            self._image_numbers[content] = len(self._image_numbers)
        return self._image_numbers[content]

    def _flush(self) -> None:
        if self._waiting:
            self._rows.write(pa.RecordBatch.from_pylist(self._waiting, schema=ROW_SCHEMA))
            self._waiting.clear()


def make_plan(
    folder: Path,
    digest: str,
    trajectories: Iterator[Example],
    make_renderer: Callable[[], Renderer],
    config: Config,
    seed: int,
    should_stop: Callable[[], bool],
) -> Plan | None:
    """Write a plan, or open the one that is there.

    Args:
        folder: where it goes.
        digest: of everything it depends on.
        trajectories: what is trained on.
        make_renderer: makes what turns examples into tokens, if it is needed.
        config: batch size, epochs and mixture.
        seed: the run's.
        should_stop: ends the planning early.

    Returns:
        None where it was stopped.

    Raises:
        InputError: no row is left to train on, or extra data can't be read.
    """
    if (folder / "plan.json").is_file() and (plan := Plan.open(folder)).digest == digest:
        return plan
    with PlanWriter(folder, make_renderer()) as writer:
        for example in trajectories:
            if should_stop():
                return None
            if reason := unusable(example, config):
                writer.rejected[reason] += 1
            else:
                writer.add(example)
        num_trajectories = writer.num_rows
        if not num_trajectories:
            raise no_trajectories(writer.rejected)
        mixed: list[list[int]] = [[] for _ in range(config.num_epochs)]
        for name, mixture in sorted(config.mix.items()):
            per_epoch = round(mixture.weight * num_trajectories)
            source = Source(name, mixture.path, per_epoch * config.num_epochs, seed)
            numbers = {number: writer.add(example) for number, example in source.examples()}
            drawn = [numbers[number] for number in source.draws]
            for epoch, rows in enumerate(mixed):
                part = drawn[epoch * per_epoch : (epoch + 1) * per_epoch]
                rows += [row for row in part if row is not None]
    values = {
        "digest": digest,
        "steps": make_steps(num_trajectories, mixed, config.batch_size, seed),
        "num_trajectories": num_trajectories,
        "rejected": dict(sorted(writer.rejected.items())),
    }
    temporary = folder / ".plan.json"
    temporary.write_text(json.dumps(values), encoding="utf-8")
    os.replace(temporary, folder / "plan.json")
    sync_folder(folder)
    return Plan.open(folder)


def make_steps(
    num_trajectories: int, mixed: Sequence[Sequence[int]], batch_size: int, seed: int
) -> list[list[int]]:
    """Cut the shuffled epochs, one behind the other, into optimizer steps.

    Args:
        num_trajectories: rows 0, 1, ... that every epoch has.
        mixed: the mixed-in rows of each epoch.
        batch_size: rows of a step; the last one may have fewer.
        seed: the run's.
    """
    order: list[int] = []
    for epoch, extra in enumerate(mixed):
        rows = [*range(num_trajectories), *extra]
        random.Random(seed_for(seed, "train", "order", epoch)).shuffle(rows)
        order += rows
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def unusable(example: Example, config: Config) -> str | None:
    """Why a trajectory teaches nothing under the objective; None: it does."""
    if config.objective == "sophia" and not example.reward > 0:
        return "the reward is not positive"
    return None


def no_trajectories(rejected: Mapping[str, int]) -> InputError:
    """There is nothing to train on."""
    if not rejected:
        return InputError(
            "There are no trajectories to train on: no sample kept a rollout.",
            "Look at the funnel in `sophia status`; lower propagate.alpha, raise "
            "reason.num_rollouts, or bring more or easier samples.",
        )
    reasons = ", ".join(f"{reason}: {count}" for reason, count in rejected.items())
    return InputError(
        f"All trajectories were rejected ({reasons}).",
        "Raise train.max_length if they are too long; else repair the rows.",
    )


def _lengths(column: pa.ChunkedArray) -> list[int]:
    lengths: list[int] = pc.list_value_length(column).to_pylist()
    return lengths
