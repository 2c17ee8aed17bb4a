"""A table under way: rows collected by shard, committed as parts, and finished as shards."""

import itertools
import shutil
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data import tables
from data.errors import InputError, RefusedError
from data.records import KEYS, key, schema
from stages.job import Job, Key, Outcome, Planned

COMMIT_ROWS = 2000
"""A part is committed when it has this many rows, or when its oldest row has waited long enough."""


@dataclass
class _Open:
    """A shard under way."""

    index: int
    order: list[Key] = field(default_factory=list)
    """The keys planned so far, in the order of the finished shard."""
    missing: set[Key] = field(default_factory=set)
    is_planned: bool = False
    """The plan has been read to its end."""
    rows: list[Any] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)


class ShardWriter:
    """Collects rows by shard, commits them as parts, and finishes shards.

    Args:
        job: the attempt.
        record: the record class of the rows.
        folder: the table.
        count: its number of shards.

    Raises:
        RefusedError: a finished shard was made with other settings or inputs.
    """

    def __init__(self, job: Job, record: type, folder: Path, count: int) -> None:
        self.job = job
        self.record = record
        self.folder = folder
        self.count = count
        self.last_write = time.monotonic()
        self.shards: dict[int, _Open] = {}
        self.shard_of: dict[str, int] = {}
        self.lock = threading.RLock()
        for path in tables.shards(folder):
            check_digest(path, job.metadata)

    def path(self, index: int) -> Path:
        """Where a shard goes."""
        return tables.shard_path(self.folder, index, self.count)

    def parts(self, index: int) -> list[Path]:
        """What attempts so far have committed of a shard."""
        return sorted((self.folder / ".parts" / f"{index:05d}").glob("[!.]*.parquet"))

    def is_finished(self, index: int) -> bool:
        """Whether a shard is there; its parts, which are of no use any more, are deleted."""
        if not self.path(index).exists():
            return False
        shutil.rmtree(self.folder / ".parts" / f"{index:05d}", ignore_errors=True)
        return True

    def count_done(self) -> int:
        """Rows on disk; a row that two workers made counts twice until its shard is finished."""
        parts = [part for index in range(self.count) for part in self.parts(index)]
        return tables.count_rows(self.folder) + sum(map(tables.count_rows_of_part, parts))

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Within the block rows wait no longer than they may; at its end, however, none is left."""
        ended = threading.Event()

        def commit_overdue() -> None:
            while not ended.wait(self.job.commit_seconds / 4):
                with self.lock:
                    for shard in self.shards.values():
                        if time.monotonic() - shard.since > self.job.commit_seconds / 2:
                            self.commit(shard)

        watch = threading.Thread(target=commit_overdue, name="commit", daemon=True)
        watch.start()
        try:
            yield
        finally:
            ended.set()
            watch.join()
            for shard in self.shards.values():
                self.commit(shard)

    def open(self, index: int, planned: Iterable[Planned]) -> Iterator[Planned]:
        """Take up a shard and yield the rows it still needs, group by group."""
        shard = _Open(index)
        done = self.read_done(index)
        with self.lock:
            self.shards[index] = shard
        for _, members in itertools.groupby(planned, key=lambda row: row.group):
            group = list(members)
            keys = [row.key for row in group]
            shard.order += keys
            missing = set(keys) - done
            shard.missing |= missing
            self.shard_of.update((row_key[0], index) for row_key in keys)
            if missing:
                yield from group
        shard.is_planned = True
        if not shard.missing:
            self.finish(shard)

    def read_done(self, index: int) -> set[Key]:
        """The keys that the parts of a shard hold."""
        done: set[Key] = set()
        for part in self.parts(index):
            try:
                check_digest(part, self.job.metadata)
                done.update(_keys(part, self.record))
            except InputError:
                if part.exists():
                    raise
                # Another worker has finished the shard meanwhile.
        return done

    def add(self, row: Any) -> None:
        """Keep a row; commit and finish when it is time."""
        with self.lock:
            shard = self.shards.get(self.shard_of[row.sample_id])
            if shard is None or (row_key := key(row)) not in shard.missing:
                return  # made again for the sake of its group
            shard.missing.discard(row_key)
            if not shard.rows:
                shard.since = time.monotonic()
            shard.rows.append(row)
            self.job.report.advance(
                rows=1, tokens=getattr(row, "num_tokens", 0), errors=int(is_error(row))
            )
            if shard.is_planned and not shard.missing:
                self.finish(shard)
            elif len(shard.rows) >= COMMIT_ROWS:
                self.commit(shard)

    def commit(self, shard: _Open) -> None:
        """Write the rows at hand as one part."""
        if not shard.rows:
            return
        table = tables.to_table(shard.rows, self.record)
        part = self.folder / ".parts" / f"{shard.index:05d}" / f"{uuid.uuid4().hex}.parquet"
        tables.write_atomically(part, table, self.metadata(table))
        shard.rows.clear()

    def finish(self, shard: _Open) -> None:
        """Turn a shard's rows into the finished shard, in the planned order, each key once."""
        with self.lock:
            try:
                table, seconds = self.assemble(shard)
            except (InputError, KeyError):
                if not self.path(shard.index).exists():
                    raise
                # Another worker has finished it, and its parts are gone.
            else:
                tables.write_atomically(
                    self.path(shard.index), table, self.metadata(table, seconds)
                )
            del self.shards[shard.index]
            self.is_finished(shard.index)

    def assemble(self, shard: _Open) -> tuple[pa.Table, float]:
        """A shard's rows from its parts and from memory, and the seconds the parts took."""
        pieces = [tables.to_table(shard.rows, self.record)]
        seconds = 0.0
        for part in self.parts(shard.index):
            batches = list(tables.read_batches(part, self.record))
            pieces.append(pa.Table.from_batches(batches, schema=schema(self.record)))
            metadata = tables.read_metadata(part)
            seconds += metadata.seconds if metadata else 0.0
        table = pa.concat_tables(pieces)
        position = {row_key: i for i, row_key in reversed(list(enumerate(_table_keys(table))))}
        indices = [position[row_key] for row_key in shard.order]
        return table.take(pa.array(indices, pa.int64())), seconds

    def metadata(self, table: pa.Table, seconds: float = 0.0) -> tables.Metadata:
        """What a part or shard says of itself; time runs since the last write."""
        tokens = pc.sum(table["num_tokens"]).as_py() if "num_tokens" in table.column_names else 0
        now = time.monotonic()
        seconds, self.last_write = seconds + now - self.last_write, now
        return replace(
            self.job.metadata,
            num_rows=table.num_rows,
            num_errors=_count_errors(table),
            num_tokens=tokens or 0,
            seconds=round(seconds, 3),
            finished_at=time.time(),
        )

    def outcome(self) -> Outcome:
        """What the finished shards hold; while some are not, the rows of parts count too."""
        outcome = Outcome(complete=len(tables.shards(self.folder)) == self.count)
        if not outcome.complete:
            outcome.rows = self.count_done()
            return outcome
        for path in tables.shards(self.folder):
            if metadata := tables.read_metadata(path):
                outcome.rows += metadata.num_rows
                outcome.errors += metadata.num_errors
        return outcome


def check_digest(path: Path, expected: tables.Metadata) -> None:
    """Refuse a file that was made with other settings or inputs.

    Raises:
        RefusedError: it was; the message names the settings that differ.
    """
    found = tables.read_metadata(path)
    if found is None or found.digest == expected.digest:
        return
    what = found.differences(expected) or "its input tables are not the same"
    folder = path.parents[2] if path.parents[1].name == ".parts" else path.parent
    raise RefusedError(
        f"{folder} was made with other settings or inputs: {what}.",
        f"Set them back, use another --run, or delete {folder.name}/ and what was made from it.",
    )


def is_error(row: Any) -> bool:
    """Whether a record is a failed row."""
    return getattr(row, "error", None) is not None or getattr(row, "status", None) == "error"


def _count_errors(table: pa.Table) -> int:
    """Rows that `is_error`, by their columns."""
    is_failed = pa.array([False] * table.num_rows, pa.bool_())
    if "error" in table.column_names:
        is_failed = pc.or_(is_failed, pc.is_valid(table["error"]))
    if "status" in table.column_names:
        is_failed = pc.or_(is_failed, pc.equal(table["status"], "error"))
    return int(pc.sum(is_failed).as_py() or 0)


def _key_columns(record: type) -> list[str]:
    return [name for name in KEYS if name in schema(record).names]


def _table_keys(table: pa.Table) -> list[Key]:
    columns = [table[name].to_pylist() for name in KEYS if name in table.column_names]
    return list(zip(*columns, strict=True))


def _keys(path: Path, record: type) -> Iterator[Key]:
    for batch in tables.read_batches(path, record, _key_columns(record)):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
