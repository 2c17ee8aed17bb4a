"""The plan: which rows are trained on, as tokens, and which of them in which optimizer step.

    PLAN/rows.arrow      tokens, reward and images of each row that is trained on
    PLAN/images.arrow    each image once, encoded
    PLAN/rejected.jsonl  rows that are not trained on, and why
    PLAN/plan.json       steps, and how many rows were rejected; written last

The Arrow files are mapped into memory, so that the ranks of a machine share them.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.training.packing import deal, first_fit_decreasing
from stages.trust import Group

GROUP_TYPE = pa.struct(
    [
        ("outcomes", pa.list_(pa.float32())),
        ("thinkings", pa.list_(pa.float32())),
        ("trust", pa.float32()),
    ]
)
ROW_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string()),
        pa.field("prompt_ids", pa.list_(pa.int32())),
        pa.field("response_ids", pa.list_(pa.int32())),
        pa.field("num_image_tokens", pa.int32()),
        pa.field("reward", pa.float32()),
        pa.field("images", pa.list_(pa.int32())),
        pa.field("is_own", pa.bool_()),
        pa.field("behavior_logprob", pa.float64()),
        pa.field("advantage", pa.float32()),
        pa.field("group", GROUP_TYPE),
        pa.field("place", pa.int32()),
    ]
)
VERSION = 2
"""Of the files of a plan, and of the parts it is rendered in; raise it when their columns change.
It is no part of what a training is known by: a plan of another version is made again."""
SCALARS = ("is_own", "behavior_logprob", "advantage", "group", "place")
REJECTED = "rejected.jsonl"
IMAGE_SCHEMA = pa.schema([pa.field("image", pa.large_binary())])


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row that is trained on."""

    prompt_ids: np.ndarray[Any, np.dtype[np.int32]]
    response_ids: np.ndarray[Any, np.dtype[np.int32]]
    reward: float
    images: tuple[int, ...]
    """Numbers of its images in the plan."""
    is_own: bool = False
    """The policy itself wrote it, in these tokens."""
    behavior_logprob: float | None = None
    """log mu(y); None: not known, or a mixed-in row."""
    advantage: float | None = None
    """GRPO's, of outcome rewards alone; None: the row is of no group."""
    group: Group | None = None
    """The rollouts it is compared with, those that are not trained on included."""
    place: int = 0
    """Its own place among them."""


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

    @cached_property
    def lengths(self) -> Sequence[int]:
        """Tokens of each row's prompt and response."""
        return [*map(sum, zip(self.prompt_lengths, self.response_lengths, strict=True))]

    @cached_property
    def image_numbers(self) -> Sequence[tuple[int, ...]]:
        """Numbers of each row's images."""
        return [*map(tuple, self._rows["images"].to_pylist())]

    @cached_property
    def image_counts(self) -> Sequence[int]:
        """Images of each row."""
        return _lengths(self._rows["images"])

    @property
    def image_token_counts(self) -> Sequence[int]:
        """Tokens in place of image features, of each row."""
        counts: list[int] = self._rows["num_image_tokens"].to_pylist()
        return counts

    @property
    def keys(self) -> Sequence[str]:
        """What each row is called: of a trajectory its key, else its place in extra data."""
        keys: list[str] = self._rows["key"].to_pylist()
        return keys

    @cached_property
    def rows_with_behavior(self) -> Sequence[int]:
        """The trajectories whose probability under the model that wrote them is known."""
        known = self._rows["behavior_logprob"].is_valid().to_numpy()
        return [int(row) for row in np.flatnonzero(known) if row < self.num_trajectories]

    @property
    def num_rows(self) -> int:
        """Rows that are trained on, mixed-in rows included."""
        return len(self.response_lengths)

    def row(self, number: int) -> Row:
        """One row; its arrays are views of the mapped file."""
        values = {name: self._rows[name][number].as_py() for name in SCALARS}
        if values["group"] is not None:
            values["group"] = Group(**values["group"])
        return Row(
            prompt_ids=self._rows["prompt_ids"][number].values.to_numpy(),
            response_ids=self._rows["response_ids"][number].values.to_numpy(),
            reward=self._rows["reward"][number].as_py(),
            images=self.images_of(number),
            **values,
        )

    def images_of(self, number: int) -> tuple[int, ...]:
        """Numbers of a row's images."""
        return self.image_numbers[number]

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

    def shortest(self, rows: Sequence[int]) -> int:
        """The row of these with the fewest tokens, to go along where it does not count."""
        return min(rows, key=lambda row: (self.lengths[row], row))

    def num_tokens(self, step: int) -> int:
        """Tokens of a step's prompts and responses."""
        return sum(self.prompt_lengths[row] for row in self.steps[step]) + self.num_targets(step)

    def num_targets(self, step: int) -> int:
        """Response tokens of a step."""
        return sum(self.response_lengths[row] for row in self.steps[step])

    def packs(self, step: int, capacity: int) -> list[list[int]]:
        """A step's rows in packs of at most so many tokens, however many ranks there are."""
        rows = self.steps[step]
        return first_fit_decreasing(rows, [self.lengths[row] for row in rows], capacity)

    def pack_fill(self, step: int, capacity: int | None) -> float | None:
        """Share of a step's packs that is tokens; None where rows are not packed by tokens."""
        if capacity is None:
            return None
        return self.num_tokens(step) / (len(self.packs(step, capacity)) * capacity)

    def micro_batches(
        self, step: int, size: int, num_ranks: int, pack_length: int | None = None
    ) -> list[list[list[int]]]:
        """A step's rows by rank and micro-batch.

        Every rank gets the same number of micro-batches, because all of them take part in each
        collective; where rows run out, a micro-batch is empty.

        Args:
            step: which one.
            size: rows of a micro-batch at most, of like length.
            num_ranks: how many ranks there are.
            pack_length: tokens of a micro-batch at most, in place of rows.
        """
        return self.split(self.steps[step], size, num_ranks, pack_length)

    def split(
        self, rows: Sequence[int], size: int, num_ranks: int, pack_length: int | None = None
    ) -> list[list[list[int]]]:
        """Any rows by rank and micro-batch, as `micro_batches` does those of a step."""
        if pack_length is not None:
            lengths = [self.lengths[row] for row in rows]
            packs = first_fit_decreasing(rows, lengths, pack_length)
            return deal(packs, num_ranks, self.image_numbers)
        rows = sorted(rows, key=lambda row: (-self.lengths[row], row))
        rounds = -(-len(rows) // (size * num_ranks))
        count = rounds * num_ranks
        cuts = [len(rows) * i // count for i in range(count + 1)]
        packs = [rows[start:end] for start, end in itertools.pairwise(cuts)]
        return deal(packs, num_ranks, self.image_numbers)


def _lengths(column: pa.ChunkedArray) -> list[int]:
    lengths: list[int] = pc.list_value_length(column).to_pylist()
    return lengths
