"""The parts of a shard under way, `TABLE/.parts/00003/*.parquet`: what of it is done."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data import tables
from data.records import KEYS, schema
from stages.engines import Prefix
from stages.identity import differs, has_mended_inputs
from stages.job import Job, Key
from stages.merging import column, is_failed, is_unfinished, keys
from stages.remade import History, Inputs, Outdated

ROWS_AT_ONCE = 64
"""Whole rows, each of up to some ten thousand tokens, that are read at once."""
CUT_OFF = ("unfinished", "length")
"""The finish_reason of rows that can be gone on with."""


@dataclass
class Done:
    """What parts hold of a shard."""

    keys: set[Key] = field(default_factory=set)
    """Rows that need not be made."""
    prefixes: dict[Key, tuple[np.ndarray, float]] = field(default_factory=dict)
    """What there is of rows that do: token ids, packed because they may be many, and logprob."""
    history: History = field(default_factory=History)
    """How often rows were made again, counting this time."""
    outdated: dict[Path, Outdated] = field(default_factory=dict)
    """Part -> rows that don't count, for what they were made from was made again."""

    def take_prefix(self, key: Key) -> Prefix | None:
        """What there is of a row; it is told once."""
        if (found := self.prefixes.pop(key, None)) is None:
            return None
        return Prefix(token_ids=found[0].tolist(), logprob=found[1])


def parts_folder(table: Path, index: int) -> Path:
    """Where the parts of a shard and its leases lie."""
    return table / ".parts" / f"{index:05d}"


def list_parts(table: Path, index: int) -> list[Path]:
    """What attempts so far have committed of a shard."""
    return sorted(filter(is_part, parts_folder(table, index).glob("*.parquet")))


def parts_of_table(table: Path) -> list[Path]:
    """All parts of all shards."""
    return sorted(filter(is_part, table.glob(".parts/*/*.parquet")))


def is_part(path: Path) -> bool:
    """Whether a file beside the leases of a shard is a part, complete and on disk."""
    return path.suffix == ".parquet" and not path.name.startswith(".")


def read_done(job: Job, record: type, parts: Sequence[Path], inputs: Inputs | None = None) -> Done:
    """Find the keys that are done, and where the others had come to.

    Args:
        job: the attempt.
        record: the record class of the rows.
        parts: of one shard.
        inputs: what the shards say that it is made from.

    Raises:
        RefusedError: a part was made with other settings or inputs.
        InputError: a part is gone or broken.
    """
    done = Done(history=History(inputs=inputs or Inputs()))
    again, remade = set[str](), set[Key]()
    with_prefixes = []
    for part in parts:
        metadata = tables.read_metadata(part)
        if metadata is None:
            continue  # a part is always ours
        is_outdated = differs(part, metadata, job.metadata, job.redo)
        done.history.add(metadata)
        outdated = done.outdated[part] = done.history.inputs.outdated(metadata)
        redo = {job.redo} if job.redo else set()
        if has_mended_inputs(metadata, job.metadata):
            redo.add("errors")
        again |= redo
        # A worker that goes by a lower limit may still be at it.
        is_older = is_outdated or metadata.finished_at < job.started_at
        has_prefixes = False
        for batch in tables.read_batches(part, record, _columns(record)):
            table = pa.Table.from_batches([batch])
            unfinished = waiting = is_unfinished(table)
            if is_older:
                for kind in redo:
                    waiting = pc.or_(waiting, is_to_redo(table, kind))
            changing = is_to_redo(table, job.redo if job.redo == "length" and is_older else None)
            if outdated:
                old = pa.array([key in outdated for key in keys(table)], pa.bool_())
                waiting, changing = pc.or_(waiting, old), pc.or_(changing, old)
            remade.update(keys(table.filter(pc.and_(changing, pc.invert(unfinished)))))
            done.keys.update(keys(table.filter(pc.invert(waiting))))
            has_prefixes = has_prefixes or bool(pc.any(waiting).as_py())
        if has_prefixes:
            with_prefixes.append(part)
    for part in with_prefixes:
        _read_prefixes(part, record, done)
    done.history.redone.update(again)
    done.history.make_again(remade - done.keys)
    return done


def _columns(record: type) -> list[str]:
    """What says whether a row is done."""
    names = schema(record).names
    return [name for name in (*KEYS, "finish_reason", "error", "status") if name in names]


def _read_prefixes(part: Path, record: type, done: Done) -> None:
    """Remember how far rows are that are not done; of two that are the same, the longer."""
    names = schema(record).names
    if "token_ids" not in names:
        return
    columns = [*_columns(record), "token_ids", *(["logprob"] if "logprob" in names else [])]
    for batch in tables.read_batches(part, record, columns, ROWS_AT_ONCE):
        table = pa.Table.from_batches([batch])
        cut_off = pc.is_in(table["finish_reason"], pa.array(CUT_OFF))
        table = table.filter(cut_off)
        found = [key not in done.keys and key not in done.outdated[part] for key in keys(table)]
        table = table.filter(pa.array(found, pa.bool_()))
        logprobs = column(table, "logprob", None).to_pylist()
        for key, token_ids, logprob in zip(keys(table), table["token_ids"], logprobs, strict=True):
            known = done.prefixes.get(key)
            if token_ids.is_valid and len(token_ids) > (0 if known is None else len(known[0])):
                done.prefixes[key] = (token_ids.values.to_numpy(), logprob or 0.0)


def read_rows(parts: Sequence[Path], record: type, done: Done) -> Iterator[dict[str, Any]]:
    """The rows that are done."""
    for part in parts:
        outdated = done.outdated.get(part, Outdated())
        for row in tables.read_rows(part, record, batch_size=ROWS_AT_ONCE):
            key = tuple(row[name] for name in KEYS if name in row)
            if key in done.keys and key not in outdated:
                yield row


def is_to_redo(table: pa.Table, redo: str | None) -> pa.Array:
    """Which rows are to be made again although they are there."""
    if redo == "errors":
        return is_failed(table)
    if redo == "length":
        return pc.fill_null(pc.equal(column(table, "finish_reason", ""), "length"), False)
    return pa.array([False] * table.num_rows, pa.bool_())


def has_rows_to_redo(job: Job, record: type, shard: Path, metadata: tables.Metadata) -> bool:
    """Whether a finished shard, older than this attempt, has rows to make again."""
    if job.redo is None or metadata.finished_at >= job.started_at:
        return False
    if job.redo == "errors" and not metadata.num_errors:
        return False
    return any(
        pc.any(is_to_redo(pa.Table.from_batches([batch]), job.redo)).as_py()
        for batch in tables.read_batches(shard, record, _columns(record))
    )
