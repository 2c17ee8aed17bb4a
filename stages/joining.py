"""Rows into files that say what they hold: a part, parts joined to a larger one, a whole shard."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import and_, or_
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from data import tables
from data.errors import InputError
from data.records import schema
from stages.identity import differs
from stages.job import Job, Key
from stages.merging import is_failed, is_unfinished, merge


@dataclass
class Counts:
    """Of rows that are being written."""

    rows: int = 0
    errors: int = 0
    tokens: int = 0
    kept_tokens: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    error_kinds: Counter[str] = field(default_factory=Counter)

    def add(self, table: pa.Table) -> pa.Table:
        """Count a table's rows, and hand it on."""
        self.rows += table.num_rows
        failed = is_failed(table)
        self.errors += _total(failed)
        if "num_tokens" in table.column_names:
            unfinished = is_unfinished(table)
            self.kept_tokens += _total(table["num_tokens"].filter(unfinished))
            self.tokens += _total(table["num_tokens"].filter(pc.invert(unfinished)))
        for name in ("status", "finish_reason"):
            if name in table.column_names:
                self.outcomes.update(_frequencies(table[name]))
                break
        if "error" in table.column_names:
            kinds = pc.list_element(pc.split_pattern(table["error"].filter(failed), ":"), 0)
            self.error_kinds.update(_frequencies(pc.fill_null(kinds, "error")))
        return table

    def describe(self, job: Job, redone: Counter[str], seconds: float) -> tables.Metadata:
        """What a file of these rows, written now, says of itself."""
        return replace(
            job.metadata,
            num_rows=self.rows,
            num_errors=self.errors,
            num_tokens=self.tokens,
            kept_tokens=self.kept_tokens,
            outcomes=dict(sorted(self.outcomes.items())),
            error_kinds=dict(sorted(self.error_kinds.items())),
            redone=dict(redone),
            seconds=round(seconds, 3),
            finished_at=time.time(),
        )


def _total(column: pa.ChunkedArray) -> int:
    return int(pc.sum(column).as_py() or 0)


def _frequencies(column: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()}


def join(
    job: Job,
    record: type,
    parts: Sequence[Path],
    position: Mapping[Key, int],
    target: Path,
    *,
    redone: Counter[str],
    seconds: float = 0.0,
    is_whole: bool = False,
) -> bool:
    """Write parts as one file, in order, each key once; a file that is there already stays.

    Args:
        job: the attempt.
        record: the record class of the rows.
        parts: files in one folder, where the new one is written before it gets its name.
        position: of each key in the table; rows of others are left out.
        target: the file's final name.
        redone: how often rows were made again; parts may know of more.
        seconds: spent on what is not in parts yet.
        is_whole: the target is a shard: every key must have its row.

    Returns:
        False where the name was taken.

    Raises:
        RefusedError: a part was made with other settings, by a worker that came later.
        InputError: a part is gone or broken, or rows are missing.
    """
    found = _told_by(parts, job)
    counts = Counts()

    def describe() -> tables.Metadata:
        if is_whole and counts.rows != len(position):
            raise InputError(
                f"{target.name} would have {counts.rows} rows where {len(position)} were made.",
                "Files under .parts/ were deleted or changed: run the same command again.",
            )
        made = counts.describe(
            job,
            reduce(or_, (Counter(metadata.redone) for metadata in found), redone),
            seconds + sum(metadata.seconds for metadata in found),
        )
        return made if is_whole or not found else _as_old_as(made, found)

    def pieces() -> Iterator[pa.Table]:
        return map(counts.add, merge(parts, record, position))

    # Beside the parts it is found, and deleted, with them if we are killed.
    folder = parts[0].parent if parts else target.parent
    return tables.stream_atomically(target, schema(record), pieces(), describe, folder)


def _told_by(parts: Sequence[Path], job: Job) -> list[tables.Metadata]:
    """What parts say of themselves; those of other tools say nothing."""
    found = []
    for part in parts:
        if metadata := tables.read_metadata(part):
            differs(part, metadata, job.metadata, job.redo)
            found.append(metadata)
    return found


def _as_old_as(made: tables.Metadata, found: Sequence[tables.Metadata]) -> tables.Metadata:
    """A part is as old as its oldest rows: those may still have to be made again."""
    mended = (Counter(metadata.mended_inputs) for metadata in found)
    return replace(
        made,
        finished_at=min(metadata.finished_at for metadata in found),
        mended_inputs=dict(reduce(and_, mended)),
    )
