"""Rollouts with their verdicts as columns: an array for each, sorted by key."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[Any]
Floats = npt.NDArray[Any]

STOP, PRUNED, LENGTH = 1, 2, 3
"""How a rollout ended; 0 is any other way."""
SCORED, NOT_THINKING, NOT_SCORED = 0, 1, 2
"""What the judge could do with a rollout's thinking: there may be none, or no score for it."""


@dataclass(frozen=True, kw_only=True)
class Rollouts:
    """Some samples' rollouts with their verdicts, sorted by key: an array per column."""

    row: Ints
    """Where in the table of rollouts it stands."""
    sample: Ints
    """The place of its sample among the shard's sample ids."""
    caption: Ints
    rollout: Ints
    num_tokens: Ints
    finish: Ints
    """`STOP`, `PRUNED`, `LENGTH` or 0 for another reason."""
    status: Ints
    """Index into the shard's `statuses`."""
    outcome: Floats
    """R(y); NaN where it could not be judged."""
    thinking: Floats | None = None
    """R_t; NaN where there is none. None: `sophia judge` did not run, or is not asked."""
    scoring: Ints | None = None
    """`SCORED`, `NOT_THINKING` or `NOT_SCORED`."""

    @property
    def is_finished(self) -> Mask:
        """Whether the model ended it by itself."""
        is_finished: Mask = self.finish == STOP
        return is_finished

    @property
    def is_pruned(self) -> Mask:
        """Whether it was given up."""
        is_pruned: Mask = self.finish == PRUNED
        return is_pruned

    @property
    def is_cut(self) -> Mask:
        """Whether it reached the limit of its length."""
        is_cut: Mask = self.finish == LENGTH
        return is_cut

    @cached_property
    def is_judged(self) -> Mask:
        """Whether its outcome reward is known."""
        return ~np.isnan(self.outcome)

    @cached_property
    def is_right(self) -> Mask:
        """Whether R(y) = 1: an answer that is right in part is none that Eq. 6 takes."""
        is_right: Mask = self.outcome == 1.0
        return is_right

    @cached_property
    def first_of_sample(self) -> Ints:
        """Where each sample begins."""
        return starts(self.sample)

    @cached_property
    def first_of_caption(self) -> Ints:
        """Where each caption begins."""
        return starts(self.sample, self.caption)

    @cached_property
    def caption_sizes(self) -> Ints:
        """N of each caption."""
        return np.diff(self.first_of_caption, append=len(self.row))

    @cached_property
    def _caption_number(self) -> Ints:
        return np.repeat(np.arange(len(self.caption_sizes)), self.caption_sizes)

    def by_caption(self, values: npt.NDArray[Any]) -> Floats:
        """The sum of each caption's rollouts, added up in their order."""
        return np.bincount(self._caption_number, values, len(self.caption_sizes))

    def by_sample(self, values: npt.NDArray[Any]) -> Ints:
        """How many there are of each sample."""
        return np.add.reduceat(values, self.first_of_sample, dtype=np.int64)

    def of_caption(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What holds for each caption, for each of its rollouts."""
        return np.repeat(values, self.caption_sizes)


def starts(*columns: npt.NDArray[Any]) -> Ints:
    """Where rows begin that are not as the row before."""
    is_start = np.zeros(len(columns[0]), bool)
    is_start[:1] = True
    for values in columns:
        is_start[1:] |= values[1:] != values[:-1]
    return np.flatnonzero(is_start)


def text_of_each(make: Callable[..., str], *parts: npt.NDArray[Any]) -> pa.Array:
    """A text for each row, made once for each combination of the parts it depends on.

    Args:
        make: a row's parts -> its text.
        parts: arrays of flags and small numbers.
    """
    sizes = [int(part.max()) + 1 for part in parts]
    number = np.zeros(len(parts[0]), np.min_scalar_type(math.prod(sizes)))
    for part, size in zip(parts, sizes, strict=True):
        number *= number.dtype.type(size)
        number += part.astype(number.dtype, copy=False)
    example = np.full(int(number.max()) + 1, -1)
    example[number] = np.arange(len(number))
    found = np.flatnonzero(example >= 0)
    texts = [make(*(part[row] for part in parts)) for row in example[found]]
    # Each text once: a dictionary with one twice is written as a text for every row.
    place = {made: at for at, made in enumerate(dict.fromkeys(texts))}
    text = np.zeros(len(example), np.int32)
    text[found] = [place[made] for made in texts]
    return pa.DictionaryArray.from_arrays(pa.array(text[number]), pa.array([*place], pa.string()))
