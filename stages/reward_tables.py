"""The tables of propagate-reward by shard, as columns: ten million rows fit, and take seconds.

A shard's rollouts and verdicts are read once, without their texts, into a few bytes per row; the
stage then looks at some thousand rows at a time, whole samples in the order of their keys. The
texts of the rollouts that were chosen are read afterwards, from the row groups that hold one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data import tables
from data.errors import InputError
from data.records import KEYS, Reward, Rollout, Trajectory, Verdict, schema

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[Any]
Floats = npt.NDArray[Any]

ROLLOUT_COLUMNS = (*KEYS, "num_tokens", "finish_reason")
VERDICT_COLUMNS = (*KEYS, "status", "outcome_reward")
TEXTS = ("sample_id", "finish_reason", "status")
BATCH_ROWS = 4096
TEXT_BATCH_ROWS = 4096
"""The row groups of our own tables have no more rows, and at most `ROW_GROUP_BYTES`."""
PIECE_ROWS = 65_536
"""Rows that are looked at together: few enough for the processor's caches."""
STOP, PRUNED = 1, 2
REWARDS = pa.schema(
    column.with_type(pa.dictionary(pa.int32(), column.type))
    if column.type == pa.string()
    else column
    for column in schema(Reward)
)
"""The schema of rewards, each text once for many rows."""
NOT_KNOWN = np.iinfo(np.int32).max
"""The length of a rollout whose table does not say it: longer than all."""


@dataclass(frozen=True, kw_only=True)
class Rollouts:
    """Some samples' rollouts with their verdicts, sorted by key: an array per column."""

    row: Ints
    """Where in the table of rollouts it stands."""
    sample: Ints
    """The place of its sample among the shard's sorted sample ids."""
    caption: Ints
    rollout: Ints
    num_tokens: Ints
    finish: Ints
    """`STOP`, `PRUNED` or 0 for another reason."""
    status: Ints
    """Index into the shard's `statuses`."""
    outcome: Floats
    """R(y); NaN where it could not be judged."""

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


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A shard's rollouts with their verdicts, in the order of the table of rollouts."""

    sample_ids: list[str]
    """Sorted."""
    statuses: list[str]
    columns: dict[str, npt.NDArray[Any]]
    order: Ints
    """Row numbers, sorted by key."""

    def pieces(self) -> Iterator[Rollouts]:
        """The rollouts sorted by key, whole samples at a time."""
        first_of_sample = starts(self.columns["sample"][self.order])
        cuts = np.searchsorted(first_of_sample, np.arange(0, len(self.order), PIECE_ROWS))
        edges = np.unique([*np.append(first_of_sample, len(self.order))[cuts], len(self.order)])
        for begin, end in pairwise(edges):
            row = self.order[begin:end].astype(np.intp)
            yield Rollouts(row=row, **{name: all_[row] for name, all_ in self.columns.items()})


def read_shard(rollouts: Path, verdicts: Path) -> Shard:
    """A shard's rollouts joined with their verdicts.

    Raises:
        InputError: a rollout has no verdict, or a row no key.
    """
    rows, texts = _read_columns(rollouts, Rollout, ROLLOUT_COLUMNS)
    judged, texts_of_judged = _read_columns(verdicts, Verdict, VERDICT_COLUMNS)
    sample_ids = sorted({*texts["sample_id"], *texts_of_judged["sample_id"]})
    number = {name: place for place, name in enumerate(sample_ids)}
    for columns, ids in ((rows, texts["sample_id"]), (judged, texts_of_judged["sample_id"])):
        columns["sample_id"] = _translate(columns["sample_id"], [number[name] for name in ids])
    finish = [{"stop": STOP, "pruned": PRUNED}.get(text, 0) for text in texts["finish_reason"]]
    outcomes = [judged.pop(name) for name in ("status", "outcome_reward")]
    if not all(np.array_equal(rows[name], judged[name]) for name in KEYS):
        place = _places(*_packed(rows, judged))
        if (missing := np.flatnonzero(place < 0)).size:
            sample, caption, rollout = (int(rows[name][missing[0]]) for name in KEYS)
            raise InputError(
                f"Rollout {(sample_ids[sample], caption, rollout)} of {rollouts} has no verdict.",
                "Delete verdicts/ and run `sophia verify` again.",
            )
        outcomes = [column[place] for column in outcomes]
    del judged
    (packed,) = _packed(rows)
    return Shard(
        sample_ids=sample_ids,
        statuses=texts_of_judged["status"],
        columns={
            "sample": rows["sample_id"],
            "caption": rows["caption_index"],
            "rollout": rows["rollout_index"],
            "num_tokens": rows["num_tokens"],
            "finish": _translate(rows["finish_reason"], finish).astype(np.int8),
            "status": outcomes[0],
            "outcome": outcomes[1],
        },
        order=np.argsort(packed, kind="stable").astype(np.int32),
    )


def _read_columns(
    path: Path, record: type, names: Sequence[str]
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, list[str]]]:
    """A table's columns as numbers, and the texts that they stand for in columns of text."""
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
            column = column.indices.fill_null(len(texts[name]) - 1)
        elif name == "num_tokens":
            column = column.fill_null(NOT_KNOWN)
        numbers[name] = column.to_numpy(zero_copy_only=False)  # null: NaN
    return numbers, texts


def _translate(numbers: Ints, meanings: list[int]) -> Ints:
    """Other numbers for the same texts."""
    translated: Ints = np.array(meanings, np.int32).take(numbers)
    return translated


def _packed(*found: dict[str, npt.NDArray[Any]]) -> list[Ints]:
    """Each table's keys as one number each, which sort as the keys do."""
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


def text_of_each(make: Callable[..., str], *parts: npt.NDArray[Any]) -> pa.Array:
    """A text for each row, made once for each combination of the parts it depends on.

    Args:
        make: a row's parts -> its text.
        parts: arrays of flags and small numbers.
    """
    number = np.zeros(len(parts[0]), np.int32)
    for part in parts:
        number = number * (int(part.max()) + 1) + part
    example = np.full(int(number.max()) + 1, -1)
    example[number] = np.arange(len(number))
    found = np.flatnonzero(example >= 0)
    texts = [make(*(part[row] for part in parts)) for row in example[found]]
    text = np.zeros_like(example)
    text[found] = np.arange(len(found))
    return pa.DictionaryArray.from_arrays(
        pa.array(text[number].astype(np.int32)), pa.array(texts, pa.string())
    )


def reward_table(
    shard: Shard, rollouts: Rollouts, caption_rewards: Floats, selected: Mask, reasons: pa.Array
) -> pa.Table:
    """What became of some rollouts, as rows of the table of rewards.

    Args:
        shard: where they are from.
        rollouts: the rollouts.
        caption_rewards: R(c) of each caption; NaN: not known.
        selected: which of them become trajectories.
        reasons: why, or why not.
    """
    first, last = int(rollouts.sample[0]), int(rollouts.sample[-1])
    names = pa.array(shard.sample_ids[first : last + 1], pa.string())
    caption_reward = rollouts.of_caption(caption_rewards.astype(np.float32))
    columns = [
        pa.DictionaryArray.from_arrays(pa.array(rollouts.sample - first), names),
        pa.array(rollouts.caption),
        pa.array(rollouts.rollout),
        pa.array(rollouts.outcome, from_pandas=True),
        pa.array(caption_reward, from_pandas=True),
        pa.array(selected),
        reasons,
    ]
    return pa.table(columns, schema=REWARDS)


def trajectory_tables(
    path: Path, shard: Shard, rows: Ints, is_on_policy: bool
) -> Iterator[pa.Table]:
    """The chosen rollouts with their texts, in the order of the table of rollouts.

    What was chosen was right and ended by itself; the ablation `random` trains on what it drew as
    if it were right. So the reward is 1.

    Args:
        path: the shard of rollouts.
        shard: what was read of it.
        rows: where the chosen ones stand.
        is_on_policy: the tokens are the policy's own.
    """
    rows = np.sort(rows)
    names = ("text", "prefill", *(("token_ids",) if is_on_policy else ()))
    found = {name: column[rows] for name, column in shard.columns.items()}
    for here, texts in tables.read_rows_at(path, Rollout, names, rows, TEXT_BATCH_ROWS):
        own = {name: column[here] for name, column in found.items()}
        responses = [
            (prefill or "") + text
            for prefill, text in zip(
                texts["prefill"].to_pylist(), texts["text"].to_pylist(), strict=True
            )
        ]
        size = len(responses)
        columns = {
            "sample_id": [shard.sample_ids[number] for number in own["sample"]],
            "caption_index": own["caption"],
            "rollout_index": own["rollout"],
            "response": responses,
            "reward": np.ones(size, np.float32),
            "advantage": np.ones(size, np.float32),
            "num_tokens": own["num_tokens"],
            "token_ids": texts["token_ids"] if is_on_policy else [None] * size,
            "finish_reason": ["stop"] * size,
        }
        yield pa.table(columns, schema=schema(Trajectory))
