"""One shard under way: its rows in memory, its parts on disk, and how they become the shard.

- Parts and shards get their names when they are complete and on disk, never before.
- A finished shard is never replaced: who comes second throws its own away.
- A shard is finished only with a row for every planned key.
"""

import itertools
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data import tables
from stages.claims import Claims
from stages.job import Job, Key
from stages.joining import Counts, join
from stages.parts import is_part
from stages.remade import History

MOST_PARTS = 32
"""So many parts are joined to one, and so many of those again: a long shard needs few open files,
and each of its rows is written a few times only."""


@dataclass
class Shard:
    """A shard that we have. Files that are gone show as FileNotFoundError or InputError."""

    job: Job
    record: type
    claims: Claims
    index: int
    rank: dict[str, int] = field(default_factory=dict)
    """Where its samples come in the table, as far as they are planned."""
    planned: list[Key] = field(default_factory=list)
    missing: set[Key] = field(default_factory=set)
    is_planned: bool = False
    """The plan has been read to its end."""
    rows: list[tuple[Key, Any]] = field(default_factory=list)
    """Rows that are not on disk yet, each behind its place."""
    num_tokens: int = 0
    """Of `rows`."""
    since: float = field(default_factory=time.monotonic)
    """When the first of them came."""
    history: History = field(default_factory=History)
    """How often rows were made again, counting this time."""
    levels: list[list[Path]] = field(default_factory=list)
    """The parts that we wrote; those of a level are joined from `MOST_PARTS` of the one before."""

    def keep(self, row_key: Key, row: Any, tokens: int) -> None:
        """Keep a row in memory."""
        if not self.rows:
            self.since = time.monotonic()
        self.rows.append((self._place(row_key), row))
        self.num_tokens += tokens

    def commit(self, seconds: float) -> None:
        """Write the rows in memory as a part."""
        part = self._new_part()
        self._write_rows(part, seconds)
        self.rows.clear()
        self.num_tokens = 0
        for level in itertools.count():
            if level == len(self.levels):
                self.levels.append([])
            self.levels[level].append(part)
            if len(self.levels[level]) < MOST_PARTS:
                return
            part = self._join(self.levels[level])
            self.levels[level] = []

    def finish(self, seconds: float) -> None:
        """Write the finished shard, in the table's order, each key once."""
        is_there = False
        while not is_there:
            leftovers = self.claims.list_files(self.index)
            parts = sorted(filter(is_part, leftovers))
            if self.rows and (parts or len(self.rows) != len(self.planned)):
                self.commit(seconds)
                continue
            while len(parts) > 4 * MOST_PARTS:  # of many attempts
                some, parts = parts[:MOST_PARTS], parts[MOST_PARTS:]
                parts.append(self._join(some))
                leftovers.append(parts[-1])
            # False where a worker that was frozen for long has put a shard of other settings there.
            is_there = self._write(parts, seconds) or not self.claims.take_in(self.index)
        self.rows.clear()
        self.claims.close(self.index, leftovers)

    def _write(self, parts: list[Path], seconds: float) -> bool:
        """Write the shard, from parts or, where it is small, straight from memory."""
        target = self.claims.finished.path(self.index)
        if self.rows:
            return self._write_rows(target, seconds)
        return join(
            self.job,
            self.record,
            parts,
            self._position(),
            target,
            history=self.history,
            seconds=seconds,
            is_whole=True,
        )

    def _write_rows(self, path: Path, seconds: float) -> bool:
        self.rows.sort(key=lambda placed: placed[0])
        table = tables.to_table((row for _, row in self.rows), self.record)
        counts = Counts()
        counts.add(table)
        metadata = counts.describe(self.job, self.history, seconds)
        folder = self.claims.folder(self.index)
        return tables.stream_atomically(path, table.schema, [table], lambda: metadata, folder)

    def _join(self, parts: list[Path]) -> Path:
        """Make one part of several."""
        joined = self._new_part()
        join(self.job, self.record, parts, self._position(), joined, history=self.history)
        self.claims.clean(self.index, parts)
        return joined

    def _new_part(self) -> Path:
        return self.claims.folder(self.index) / f"{uuid.uuid4().hex}.parquet"

    def _place(self, row_key: Key) -> Key:
        """What the table is sorted by: samples as planned, then captions, then rollouts."""
        return self.rank[row_key[0]], *row_key[1:]

    def _position(self) -> dict[Key, int]:
        """The number of each planned row in the table."""
        ordered = sorted(self.planned, key=self._place)
        return {row_key: number for number, row_key in enumerate(ordered)}
