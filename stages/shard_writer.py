"""A table under way: shards claimed, their rows collected, committed as parts, and finished.

What makes it safe, at any moment and with any number of workers:

- parts and shards get their names when they are complete and on disk, never before;
- a finished shard is never replaced: who comes second throws its own away;
- a shard that is to grow or to be redone becomes a part of itself by a rename, which loses nothing;
- who cleans up deletes only what it listed before it saw the finished shard.
"""

import contextlib
import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data import tables
from data.errors import InputError
from data.records import key, schema
from stages.engines import Prefix
from stages.identity import is_outdated
from stages.job import Job, Key, Outcome, Planned
from stages.leases import Lease, claim, holder_of
from stages.merging import UNFINISHED, is_failed, merge
from stages.parts import has_rows_to_redo, list_parts, parts_folder, read_done, read_rows

COMMIT_ROWS = 2000
COMMIT_TOKENS = 1_000_000
"""A part is committed when it has this many, or when its oldest row has waited long enough."""
MOST_PARTS = 64
"""More parts than this become one, so that a long shard needs no thousand open files."""

Remember = Callable[[Iterable[dict[str, Any]]], None]


def no_shard(index: int) -> bool:
    """Say no of every shard."""
    return False


@dataclass
class Shard:
    """A shard that we have a lease on."""

    index: int
    lease: Lease
    rank: dict[str, int] = field(default_factory=dict)
    """Where its samples come in the table, as far as they are planned."""
    planned: list[Key] = field(default_factory=list)
    missing: set[Key] = field(default_factory=set)
    is_planned: bool = False
    """The plan has been read to its end."""
    rows: list[Any] = field(default_factory=list)
    num_tokens: int = 0
    """Of `rows`."""
    since: float = field(default_factory=time.monotonic)
    revision: int = 0
    parts: list[Path] = field(default_factory=list)
    """Those that we wrote."""

    def place(self, row_key: Key) -> tuple[Any, ...]:
        """What the table is sorted by: samples as planned, then captions, then rollouts."""
        return self.rank[row_key[0]], *row_key[1:]


class ShardWriter:
    """Claims shards, collects rows, commits them as parts, and finishes shards.

    Args:
        job: the attempt.
        record: the record class of the rows.
        folder: the table.
        count: its number of shards.
        is_short: whether a finished shard, by its index, lacks rows.

    Raises:
        RefusedError: a finished shard was made with other settings or inputs.
    """

    def __init__(
        self,
        job: Job,
        record: type,
        folder: Path,
        count: int,
        is_short: Callable[[int], bool] = no_shard,
    ) -> None:
        self.job = job
        self.record = record
        self.folder = folder
        self.count = count
        self.is_short = is_short
        self.last_write = time.monotonic()
        self.shards: dict[int, Shard] = {}
        self.shard_of: dict[str, int] = {}
        self.lock = threading.RLock()
        self.failure: Exception | None = None
        """What happened to the thread that commits."""
        for path in tables.shards(folder):
            is_outdated(path, job.metadata, job.redo)

    def path(self, index: int) -> Path:
        """Where a shard goes."""
        return tables.shard_path(self.folder, index, self.count)

    def is_done(self, index: int) -> bool:
        """Whether a shard is there with nothing to add; what is left of its parts is deleted."""
        leftovers = self._leftovers(index)
        path = self.path(index)
        try:
            if not path.exists() or is_outdated(path, self.job.metadata, self.job.redo):
                return False
            if has_rows_to_redo(self.job, self.record, path) or self.is_short(index):
                return False
        except InputError:
            if path.exists():
                raise
            return False  # another worker has just begun to add to it
        self._delete(index, leftovers)
        return True

    def remaining(self) -> list[int]:
        """The shards that are not done."""
        return [index for index in range(self.count) if not self.is_done(index)]

    def holder(self, index: int) -> str | None:
        """The worker that has a shard now."""
        holder = holder_of(parts_folder(self.folder, index), self.job.lease_seconds)
        return holder.worker if holder else None

    def count_done(self) -> int:
        """Rows on disk; a row that two workers made counts twice until its shard is finished."""
        parts = [part for index in range(self.count) for part in list_parts(self.folder, index)]
        return tables.count_rows(self.folder) + sum(map(tables.count_rows_of_part, parts))

    @contextmanager
    def working(self) -> Iterator[None]:
        """Within the block leases are kept and rows wait no longer than they may.

        At its end what is left is committed, and the shards are given back.
        """
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(ended,), name="commit", daemon=True)
        watch.start()
        try:
            yield
        finally:
            ended.set()
            watch.join()
            with contextlib.ExitStack() as stack:
                for shard in list(self.shards.values()):
                    stack.callback(self._release, shard)  # each, whatever happens to the others
        self._raise_failure()

    def _release(self, shard: Shard) -> None:
        try:
            self.commit(shard)
        finally:
            self._forget(shard)
            shard.lease.give_back()

    def _watch(self, ended: threading.Event) -> None:
        interval = min(self.job.commit_seconds, self.job.lease_seconds) / 4
        while not ended.wait(interval):
            with self.lock:
                try:
                    for shard in list(self.shards.values()):
                        if not self._keep(shard):
                            continue
                        if time.monotonic() - shard.since > self.job.commit_seconds / 2:
                            self.commit(shard)
                except Exception as error:
                    self.failure = error
                    return

    def _raise_failure(self) -> None:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure

    def _keep(self, shard: Shard) -> bool:
        """Touch a lease, or let go of its shard where another worker has taken it."""
        if shard.lease.is_held():
            shard.lease.touch()
            return True
        self._forget(shard)
        if not self.path(shard.index).exists():
            self.job.report.note(f"shard {shard.index} went to another worker, who goes on with it")
        return False

    def _forget(self, shard: Shard) -> None:
        self.shards.pop(shard.index, None)
        for sample_id in shard.rank:
            self.shard_of.pop(sample_id, None)

    def claim(self, index: int) -> Shard | None:
        """Take a shard with work left; None where it is done or another worker has it."""
        if index in self.shards or self.is_done(index):
            return None
        folder = parts_folder(self.folder, index)
        lease = claim(folder, self.job.worker, self.job.lease_seconds)
        if lease is None or self.is_done(index):  # finished while we claimed it
            return None
        with contextlib.suppress(FileNotFoundError):
            # Its rows stay, as a part, whether they are to be joined by others or replaced.
            self.path(index).rename(folder / f"{uuid.uuid4().hex}.parquet")
        shard = Shard(index, lease)
        with self.lock:
            self.shards[index] = shard
        return shard

    def open(
        self, shard: Shard, planned: Iterable[Planned], remember: Remember | None = None
    ) -> Iterator[Planned]:
        """Yield the rows that a shard still needs and that are to be made, group by group.

        Args:
            shard: as it was claimed.
            planned: its rows, group by group.
            remember: told the rows that are there already.
        """
        parts = list_parts(self.folder, shard.index)
        done = read_done(self.job, self.record, parts)
        shard.revision = done.revision + (self.job.redo is not None)
        if remember is not None:
            remember(read_rows(parts, self.record, done.keys))
        for _, members in itertools.groupby(planned, key=lambda row: row.group):
            group = list(members)
            missing = {row.key for row in group} - done.keys
            with self.lock:
                for row in group:
                    shard.rank.setdefault(row.key[0], len(shard.rank))
                    shard.planned.append(row.key)
                    self.shard_of[row.key[0]] = shard.index
                shard.missing |= missing
            for row in group if missing else ():
                if row.made is None:
                    yield _continued(row, done.prefixes.get(row.key))
                elif row.key in missing:
                    self.add(row.made, is_new=False)
            if shard.index not in self.shards:
                return  # lost
        with self.lock:
            shard.is_planned = True
            if not shard.missing:
                self.finish(shard)

    def add(self, row: Any, *, is_new: bool = True) -> None:
        """Keep a row; commit and finish when it is time.

        Args:
            row: a record.
            is_new: it was written now: its tokens count in how fast that goes.
        """
        with self.lock:
            self._raise_failure()
            shard = self.shards.get(self.shard_of.get(row.sample_id, -1))
            tokens = getattr(row, "num_tokens", 0)
            if shard is None or (row_key := key(row)) not in shard.missing:
                # Made again for the sake of its group, or its shard is another worker's now.
                self.job.report.advance(lost_tokens=tokens)
                return
            if not shard.rows:
                shard.since = time.monotonic()
            shard.rows.append(row)
            shard.num_tokens += tokens
            if getattr(row, "finish_reason", None) == UNFINISHED:
                self.job.report.advance(kept_tokens=tokens)
                return
            shard.missing.discard(row_key)
            new_tokens = tokens if is_new else 0
            self.job.report.advance(rows=1, tokens=new_tokens, errors=int(is_error(row)))
            if shard.is_planned and not shard.missing:
                self.finish(shard)
            elif len(shard.rows) >= COMMIT_ROWS or shard.num_tokens >= COMMIT_TOKENS:
                self.commit(shard)

    def commit(self, shard: Shard) -> None:
        """Write the rows at hand as one part."""
        if not shard.rows or not self._keep(shard):
            return
        shard.rows.sort(key=lambda row: shard.place(key(row)))
        table = tables.to_table(shard.rows, self.record)
        part = self._new_part(shard)
        counts = _Counts()
        counts.add(table)
        try:
            tables.write_atomically(part, table, self._metadata(shard, counts))
        except FileNotFoundError:  # who finished the shard has cleaned up under us
            if self._keep(shard):
                raise
            return
        shard.rows.clear()
        shard.num_tokens = 0
        shard.parts.append(part)
        if len(shard.parts) > MOST_PARTS:
            merged = self._new_part(shard)
            self._merge(shard, shard.parts, merged)
            self._delete(shard.index, shard.parts)
            shard.parts = [merged]

    def _new_part(self, shard: Shard) -> Path:
        return parts_folder(self.folder, shard.index) / f"{uuid.uuid4().hex}.parquet"

    def finish(self, shard: Shard) -> None:
        """Turn a shard's parts into the finished shard, in the table's order, each key once."""
        with self.lock:
            self.commit(shard)
            if shard.index not in self.shards:
                return
            leftovers = self._leftovers(shard.index)
            try:
                self._merge(shard, list_parts(self.folder, shard.index), self.path(shard.index))
            except (InputError, FileNotFoundError):
                if not self.path(shard.index).exists():
                    raise
                # Another worker has finished it, and its parts are gone.
            self._forget(shard)
            self._delete(shard.index, leftovers)

    def _merge(self, shard: Shard, parts: list[Path], target: Path) -> None:
        """Write parts as one file; where it is there already, it stays."""
        ordered = sorted(shard.planned, key=shard.place)
        position = {row_key: place for place, row_key in enumerate(ordered)}
        seconds = sum(found.seconds for part in parts if (found := tables.read_metadata(part)))
        counts = _Counts()

        def pieces() -> Iterator[pa.Table]:
            for piece in merge(parts, self.record, position):
                counts.add(piece)
                yield piece

        tables.stream_atomically(
            target, schema(self.record), pieces(), lambda: self._metadata(shard, counts, seconds)
        )

    def _metadata(self, shard: Shard, counts: "_Counts", seconds: float = 0.0) -> tables.Metadata:
        """What a part or shard says of itself; time runs since the last write."""
        now = time.monotonic()
        seconds, self.last_write = seconds + now - self.last_write, now
        return replace(
            self.job.metadata,
            num_rows=counts.rows,
            num_errors=counts.errors,
            num_tokens=counts.tokens,
            revision=shard.revision,
            seconds=round(seconds, 3),
            finished_at=time.time(),
        )

    def _leftovers(self, index: int) -> list[Path]:
        """What lies about of a shard under way, temporary files of killed attempts included."""
        folder = parts_folder(self.folder, index)
        temporary = self.folder.glob(f".{self.path(index).name}.*")
        return [*(folder.iterdir() if folder.is_dir() else ()), *temporary]

    def _delete(self, index: int, leftovers: Iterable[Path]) -> None:
        for path in leftovers:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty, or not there
            parts_folder(self.folder, index).rmdir()

    def outcome(self) -> Outcome:
        """What the finished shards hold; while some are not, the rows of parts count too."""
        outcome = Outcome(complete=not self.remaining())
        if not outcome.complete:
            outcome.rows = self.count_done()
            return outcome
        for path in tables.shards(self.folder):
            if metadata := tables.read_metadata(path):
                outcome.rows += metadata.num_rows
                outcome.errors += metadata.num_errors
        return outcome


@dataclass
class _Counts:
    """Of rows that are being written."""

    rows: int = 0
    errors: int = 0
    tokens: int = 0

    def add(self, table: pa.Table) -> None:
        self.rows += table.num_rows
        self.errors += pc.sum(is_failed(table)).as_py() or 0
        if "num_tokens" in table.column_names:
            self.tokens += pc.sum(table["num_tokens"]).as_py() or 0


def is_error(row: Any) -> bool:
    """Whether a record is a failed row."""
    return getattr(row, "error", None) is not None or getattr(row, "status", None) == "error"


def _continued(row: Planned, prefix: Prefix | None) -> Planned:
    return row if prefix is None else replace(row, prefix=prefix)
