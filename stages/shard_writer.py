"""The rows of all the shards that we have: asked for, collected, and on disk in time.

The stages' thread brings rows; another commits those that have waited long enough, and notices when
a shard was lost; a third (`claims.py`) keeps the leases. The first two take turns by a lock.
"""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from data.errors import InputError
from data.records import key
from stages.claims import Claims
from stages.engines import Prefix
from stages.job import Job, Planned
from stages.merging import UNFINISHED
from stages.parts import list_parts, read_done, read_rows
from stages.remade import Inputs
from stages.shard import Shard

COMMIT_ROWS = 4096
COMMIT_TOKENS = 1_000_000
"""A part is committed when it has this many, or when its oldest row has waited long enough."""

Remember = Callable[[Iterable[dict[str, Any]]], None]


class ShardWriter:
    """Collects the rows of our shards, commits them, and finishes shards.

    Args:
        job: the attempt.
        record: the record class of the rows.
        claims: the shards that we have.
        inputs: tables that they are made from.
    """

    def __init__(self, job: Job, record: type, claims: Claims, inputs: Sequence[str] = ()) -> None:
        self.job = job
        self.record = record
        self.claims = claims
        self.inputs = inputs
        self.last_write = time.monotonic()
        self.shards: dict[int, Shard] = {}
        self.shard_of: dict[str, Shard] = {}
        self.lock = threading.RLock()
        self.failure: Exception | None = None
        """What happened to the thread that commits."""
        self.num_asked = self.num_kept = self.num_lost = 0
        """Rows asked for, rows that came, and shards that went to other workers, in this round."""

    @contextmanager
    def working(self) -> Iterator[None]:
        """Within the block leases are kept and rows wait no longer than they may.

        At its end what is left is committed, and the shards are given back.
        """
        self.num_asked = self.num_kept = self.num_lost = 0
        ended = threading.Event()
        thread = threading.Thread(target=self._watch, args=(ended,), name="commit", daemon=True)
        with contextlib.ExitStack() as stack, self.claims.touching():
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()
                for index in list(self.claims.ours):
                    stack.callback(self._release, index)  # each, whatever happens to the others
        self._raise_failure()

    def _release(self, index: int) -> None:
        try:
            if shard := self.shards.get(index):
                self.commit(shard)
                self._forget(shard)
        finally:
            self.claims.give_back(index)

    def _watch(self, ended: threading.Event) -> None:
        interval = min(self.job.commit_seconds, self.job.lease_seconds) / 4
        while not ended.wait(interval):
            with self.lock:
                try:
                    for shard in list(self.shards.values()):
                        waited = time.monotonic() - shard.since
                        if self._keep(shard) and waited > self.job.commit_seconds / 2:
                            self.commit(shard)
                except Exception as error:
                    self.failure = error
                    return

    def _raise_failure(self) -> None:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure

    def _keep(self, shard: Shard) -> bool:
        """Whether a shard is still ours; where another worker has it, forget it."""
        if self.claims.keeps(shard.index):
            return True
        if self.shards.get(shard.index) is shard:
            self.num_lost += 1
            self.job.report.note(f"shard {shard.index} went to another worker")
        self._forget(shard)
        return False

    def _forget(self, shard: Shard) -> None:
        self.shards.pop(shard.index, None)
        for sample_id in shard.rank:
            self.shard_of.pop(sample_id, None)
        shard.rows.clear()

    def open(
        self, index: int, planned: Iterable[Planned], remember: Remember | None = None
    ) -> Iterator[Planned]:
        """Yield the rows that a shard still needs and that are to be made, group by group.

        Args:
            index: of a shard that we have.
            planned: its rows, group by group.
            remember: told the rows that are there already.
        """
        shard = Shard(self.job, self.record, self.claims, index)
        with self.lock:
            self.shards[index] = shard
        try:
            finished = self.claims.finished
            parts = list_parts(finished.folder, index)
            inputs = Inputs.of(self.job, self.inputs, index, finished.count)
            done = read_done(self.job, self.record, parts, inputs)
            if remember is not None:
                remember(read_rows(parts, self.record, done))
        except InputError:
            if self._is_ours(shard):
                raise
            return  # a worker that we took it from has finished it after all
        shard.history = done.history
        for _, members in itertools.groupby(planned, key=lambda row: row.group):
            group = list(members)
            missing = {row.key for row in group} - done.keys
            with self.lock:
                if self.shards.get(index) is not shard:
                    return  # lost
                for row in group:
                    shard.rank.setdefault(row.key[0], len(shard.rank))
                    shard.planned.append(row.key)
                    self.shard_of[row.key[0]] = shard
                shard.missing |= missing
            for row in group if missing else ():
                if row.made is None:
                    self.num_asked += 1
                    yield _continued(row, done.take_prefix(row.key))
                elif row.key in missing:
                    self.add(row.made, is_new=False)
        with self.lock:
            shard.is_planned = True
            if not shard.missing and self.shards.get(index) is shard:
                self.finish(shard)

    def _is_ours(self, shard: Shard) -> bool:
        with self.lock:
            return self._keep(shard)

    def add(self, row: Any, *, is_new: bool = True) -> None:
        """Keep a row; commit and finish when it is time.

        Args:
            row: a record.
            is_new: it was written now: its tokens count in how fast that goes.
        """
        row_key = key(row)
        tokens = getattr(row, "num_tokens", 0)
        with self.lock:
            self._raise_failure()
            shard = self.shard_of.get(row_key[0])
            if shard is None or row_key not in shard.missing:
                # Made again for the sake of its group, or its shard is another worker's now.
                self.job.report.advance(lost_tokens=tokens)
                return
            self.num_kept += 1
            if getattr(row, "finish_reason", None) == UNFINISHED:
                can_go_on = getattr(row, "token_ids", None) is not None
                if can_go_on:
                    shard.keep(row_key, row, tokens)
                self.job.report.advance(**{"kept_tokens" if can_go_on else "lost_tokens": tokens})
                return
            shard.keep(row_key, row, tokens)
            shard.missing.discard(row_key)
            new_tokens = tokens if is_new else 0
            self.job.report.advance(rows=1, tokens=new_tokens, errors=int(_is_error(row)))
            if shard.is_planned and not shard.missing:
                self.finish(shard)
            elif len(shard.rows) >= COMMIT_ROWS or shard.num_tokens >= COMMIT_TOKENS:
                self.commit(shard)

    def commit(self, shard: Shard) -> None:
        """Write the rows at hand as one part."""
        if shard.rows and self._keep(shard):
            with self._unless_lost(shard):
                shard.commit(self._seconds())

    def finish(self, shard: Shard) -> None:
        """Write the finished shard."""
        if self._keep(shard):
            with self._unless_lost(shard):
                shard.finish(self._seconds())
                self._forget(shard)

    @contextmanager
    def _unless_lost(self, shard: Shard) -> Iterator[None]:
        """Go on where files vanish because another worker has finished the shard."""
        try:
            yield
        except (InputError, FileNotFoundError):
            if self._keep(shard):
                raise

    def _seconds(self) -> float:
        """Since the last write."""
        now = time.monotonic()
        seconds, self.last_write = now - self.last_write, now
        return seconds


def _is_error(row: Any) -> bool:
    return getattr(row, "error", None) is not None or getattr(row, "status", None) == "error"


def _continued(row: Planned, prefix: Prefix | None) -> Planned:
    return row if prefix is None else replace(row, prefix=prefix)
