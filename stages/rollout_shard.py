"""A shard of rollouts joined with its verdicts, in a few bytes per row: ten million rows fit.

They are read once, without their texts, and looked at some thousand rows, whole samples
at a time, each by caption and rollout.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data import tables
from data.errors import InputError
from data.records import KEYS, Rollout, Thinking, Verdict
from stages.rollout_columns import (
    LENGTH,
    NOT_SCORED,
    NOT_THINKING,
    PRUNED,
    SCORED,
    STOP,
    Floats,
    Ints,
    Rollouts,
    starts,
)

ROLLOUT_COLUMNS = (*KEYS, "num_tokens", "finish_reason")
VERDICT_COLUMNS = (*KEYS, "status", "outcome_reward")
THINKING_COLUMNS = (*KEYS, "thinking_reward", "num_tokens")
TEXTS = ("sample_id", "finish_reason", "status")
BATCH_ROWS = 65_536
PIECE_ROWS = 65_536
"""Rows that are looked at together: few enough for the processor's caches."""
NOT_KNOWN = np.iinfo(np.int32).max
"""The length of a rollout whose table does not say it: longer than all."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A shard's rollouts with their verdicts, in the order of the table of rollouts."""

    sample_ids: list[str]
    """In the order in which the table of rollouts has them; behind them what only others have."""
    statuses: list[str]
    columns: dict[str, npt.NDArray[Any]]
    order: Ints | None
    """Row numbers, sorted by sample, caption and rollout; None: the rows are in that order."""

    def __len__(self) -> int:
        """Rollouts."""
        return len(self.columns["sample"])

    def pieces(self) -> Iterator[Rollouts]:
        """The rollouts sorted by sample, caption and rollout, whole samples at a time."""
        sample = self.columns["sample"]
        first_of_sample = starts(sample if self.order is None else sample[self.order])
        cuts = np.searchsorted(first_of_sample, np.arange(0, len(self), PIECE_ROWS))
        edges = np.unique([*np.append(first_of_sample, len(self))[cuts], len(self)])
        for begin, end in pairwise(edges.tolist()):
            row = np.arange(begin, end) if self.order is None else self.order[begin:end]
            here = slice(begin, end) if self.order is None else row  # a slice copies nothing
            columns = {name: values[here] for name, values in self.columns.items()}
            yield Rollouts(row=row, **columns)


@dataclass
class _Table:
    """Columns of a shard as numbers, and the texts that they stand for in columns of text."""

    path: Path
    columns: dict[str, npt.NDArray[Any]]
    texts: dict[str, list[str]]


def read_shard(rollouts: Path, verdicts: Path, thinking: Path | None = None) -> Shard:
    """A shard's rollouts joined with their verdicts and, if asked for, their thinking rewards.

    Raises:
        InputError: a rollout has no verdict or no score of its thinking, or a row no key.
    """
    own = _read_columns(rollouts, Rollout, ROLLOUT_COLUMNS)
    judged = _read_columns(verdicts, Verdict, VERDICT_COLUMNS)
    scored = _read_columns(thinking, Thinking, THINKING_COLUMNS) if thinking else None
    sample_ids = _number_samples([own, judged, *([scored] if scored else [])])
    status, outcome = _beside(own, judged, "verdict", "verify", sample_ids)
    ends = {"stop": STOP, "pruned": PRUNED, "length": LENGTH}
    finish = np.array([ends.get(text, 0) for text in own.texts["finish_reason"]], np.int8)
    columns = {
        "sample": own.columns["sample_id"],
        "caption": own.columns["caption_index"],
        "rollout": own.columns["rollout_index"],
        "num_tokens": own.columns["num_tokens"],
        "finish": finish.take(own.columns["finish_reason"]),
        "status": status,
        "outcome": outcome,
    }
    if scored:
        columns |= _thinking(*_beside(own, scored, "score of its thinking", "judge", sample_ids))
    statuses = judged.texts["status"]
    del judged, scored
    (packed,) = _packed(own.columns)
    is_in_order = bool((packed[1:] >= packed[:-1]).all())
    return Shard(
        sample_ids=sample_ids,
        statuses=statuses,
        columns=columns,
        order=None if is_in_order else np.argsort(packed, kind="stable"),
    )


def _number_samples(found: Sequence[_Table]) -> list[str]:
    """Have the same number mean the same sample in all tables; the samples, as they come."""
    first, *others = (table.texts["sample_id"] for table in found)
    names = [first, *(other for other in others if other != first)]
    sample_ids = [*dict.fromkeys(itertools.chain(*names))]
    if len(names) == 1 and len(sample_ids) == len(first):
        return sample_ids
    number = {name: place for place, name in enumerate(sample_ids)}
    for table in found:
        numbers = np.array([number[name] for name in table.texts["sample_id"]], np.int32)
        if not np.array_equal(numbers, np.arange(len(numbers))):
            table.columns["sample_id"] = numbers.take(table.columns["sample_id"])
    return sample_ids


def _beside(own: _Table, other: _Table, what: str, command: str, sample_ids: list[str]) -> Any:
    """Another table's columns, but for its keys, in the order of the rollouts.

    Args:
        own: the rollouts.
        other: a table with a row for each of them. Its columns are taken out of it.
        what: a row of it, for the message.
        command: what writes it.
        sample_ids: what the numbers of samples mean.
    """
    columns = [other.columns.pop(name) for name in [*other.columns] if name not in KEYS]
    if all(np.array_equal(own.columns[name], other.columns[name]) for name in KEYS):
        return columns
    place = _places(*_packed(own.columns, other.columns))
    if (missing := np.flatnonzero(place < 0)).size:
        sample, caption, rollout = (int(own.columns[name][missing[0]]) for name in KEYS)
        raise InputError(
            f"Rollout {(sample_ids[sample], caption, rollout)} of {own.path} has no {what}.",
            f"Delete {other.path.parent.name}/ and run `sophia {command}` again.",
        )
    return [column[place] for column in columns]


def _thinking(reward: Floats, num_tokens: Ints) -> dict[str, npt.NDArray[Any]]:
    """Thinking rewards, and how they came about; of no thinking the judge says not a token."""
    is_nothing = (num_tokens == 0) & (reward == 0)
    scoring = np.where(np.isnan(reward), NOT_SCORED, np.where(is_nothing, NOT_THINKING, SCORED))
    return {"thinking": reward.astype(np.float32), "scoring": scoring.astype(np.int8)}


def _read_columns(path: Path, record: type, names: Sequence[str]) -> _Table:
    """A table's columns as numbers."""
    encoded = [name for name in names if name in TEXTS]
    batches = list(
        tables.read_batches(path, record, names, BATCH_ROWS, encoded=encoded, use_threads=False)
    )
    numbers: dict[str, npt.NDArray[Any]] = {}
    texts: dict[str, list[str]] = {name: [] for name in encoded}
    for place, name in enumerate(names):
        if not batches:
            numbers[name] = np.array([], np.int32)
            continue
        column = pa.concat_arrays([batch.column(place) for batch in batches])
        if name in KEYS and column.null_count:
            raise InputError(f"{path} has a row without {name}.", "Every row needs its key.")
        if name in TEXTS:
            texts[name] = [*column.dictionary.to_pylist(), ""]
            column = column.indices
            if column.null_count:
                column = column.fill_null(len(texts[name]) - 1)
        elif name == "num_tokens" and column.null_count:
            column = column.fill_null(NOT_KNOWN)
        numbers[name] = column.to_numpy(zero_copy_only=False)  # null: NaN
    return _Table(path, numbers, texts)


def _packed(*found: dict[str, npt.NDArray[Any]]) -> list[Ints]:
    """Each table's keys as one number each, which sort by sample, caption and rollout."""
    packed = [columns["sample_id"].astype(np.int64) for columns in found]
    for name in ("caption_index", "rollout_index"):
        lowest = min(int(columns[name].min(initial=0)) for columns in found)
        highest = max(int(columns[name].max(initial=0)) for columns in found)
        for keys, columns in zip(packed, found, strict=True):
            keys *= highest - lowest + 1
            keys += columns[name] - lowest
    return packed


def _places(wanted: Ints, there: Ints) -> Ints:
    """Where each key stands among those that are there, the last one of several; -1: nowhere."""
    if not there.size:
        return np.full(wanted.size, -1)
    order = np.argsort(there, kind="stable")
    place = order[np.searchsorted(there, wanted, side="right", sorter=order) - 1]
    return np.where(there[place] == wanted, place, -1)
