"""Map a function over shards: claim, work, commit parts, finish, resume. The only such loop.

Any number of workers may run it on one table. Each claims shards nobody has (`claims.py`), one
after the other, as its engine has room: the stream of rows runs across shard borders, so that the
engine never drains before the end. When no shard is free a worker waits until the others have
finished, in case one of them dies, or until more of its input is there.

    finished.py       which shards are there, as they are wanted now
    claims.py         who works on which of the others (leases.py)
    shard_writer.py   our shards' rows, collected and committed in time
    shard.py          one of them: its parts, and how they become the shard (joining.py, merging.py)
    parts.py          what earlier attempts have left of it
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data import tables
from data.errors import InputError, Stopped
from stages.claims import Claims
from stages.finished import FinishedShards, no_shard
from stages.identity import is_outdated
from stages.job import Job, Outcome, Planned
from stages.parts import parts_of_table
from stages.shard_writer import Remember, ShardWriter

POLL_SECONDS = 0.5
"""How soon a worker without work notices a stop."""
LOOK_SECONDS = 2.0
LOOK_SECONDS_PER_SHARD = 0.05
"""How often it looks for something to do. A look costs some file operations for each shard that
others have, and all who wait look at the same shards."""


def map_shards(
    job: Job,
    *,
    record: type,
    table: str,
    count: int,
    plan: Callable[[int], Iterable[Planned]],
    execute: Callable[[Iterator[Planned]], Iterator[Any]],
    total: int,
    inputs: Sequence[str] = (),
    remember: Remember | None = None,
    is_short: Callable[[int], bool] = no_shard,
) -> Outcome:
    """Make every row of a table that is not there yet, and finish its shards.

    Args:
        job: the attempt.
        record: the record class of the table's rows.
        table: name of the output folder inside the run.
        count: number of shards.
        plan: shard index -> its rows, samples in the order of the finished shard. It may raise
            `Stopped` when `job.should_stop()` turns true.
        execute: a stream of planned rows -> records, in any order. It may leave out rows when
            `job.should_stop()` turns true.
        total: rows of the whole table, for the progress bar.
        inputs: tables whose shard must be there before ours is begun.
        remember: told the rows that are there already of a shard that is taken up.
        is_short: whether a finished shard lacks rows that its plan has now, for a reason that the
            job's metadata does not know.
    """
    finished = FinishedShards(job, record, job.folder(table), count, is_short)
    claims = Claims(job, finished)
    writer = ShardWriter(job, record, claims, inputs)
    job.report.start(job.stage, total, _count_rows(finished), table)

    def is_ready(index: int) -> bool:
        return all(
            _is_up_to_date(job, name, tables.shard_path(job.folder(name), index, count))
            for name in inputs
        )

    def what_is_lacking(index: int) -> str:
        lacking = (
            _lacking(job, name, tables.shard_path(job.folder(name), index, count))
            for name in inputs
        )
        return next(filter(None, lacking), "")

    def stream(indices: list[int]) -> Iterator[Planned]:
        for index in indices:
            if job.should_stop() or not job.budget.admits():
                return
            if is_ready(index) and claims.claim(index):
                try:
                    yield from writer.open(index, plan(index), remember)
                except Stopped:
                    return

    while remaining := claims.remaining():
        _wait_for_work(job, claims, is_ready, what_is_lacking, remaining)
        if job.should_stop() or not job.budget.admits():
            break
        with writer.working(), _closing(execute(stream(remaining))) as rows:
            for row in rows:
                writer.add(row)
        if not job.should_stop() and job.budget.admits():
            _check_progress(writer)
    return _outcome(finished, not remaining)


@contextmanager
def _closing(rows: Iterator[Any]) -> Iterator[Iterator[Any]]:
    """End what makes the rows, an engine for one, though they are not read to their end."""
    try:
        yield rows
    finally:
        if isinstance(rows, Generator):
            rows.close()


def _is_up_to_date(job: Job, table: str, shard: Path) -> bool:
    """Whether a shard of an input table is there, and will not be added to."""
    try:
        return shard.exists() and not (
            table in job.inputs and is_outdated(shard, job.inputs[table], redo="length")
        )
    except InputError:
        if shard.exists():
            raise
        return False  # it has just been taken up, to be added to


def _lacking(job: Job, table: str, shard: Path) -> str:
    """What a shard of an input table was made with that it is not to stay with, in words."""
    if not shard.exists() or _is_up_to_date(job, table, shard):
        return ""
    try:
        found = tables.read_metadata(shard)
    except InputError:
        return ""  # it has just been taken up, to be added to
    return f"; {table} are to grow: {found.differences(job.inputs[table])}" if found else ""


def _check_progress(writer: ShardWriter) -> None:
    """Don't go round and round.

    Raises:
        RuntimeError: rows were asked for, and none came.
    """
    if not writer.num_asked:
        time.sleep(POLL_SECONDS)  # what seemed free was not
    elif not writer.num_kept and not writer.num_lost:
        raise RuntimeError(f"{writer.num_asked} rows were asked for, and none came")


def _wait_for_work(
    job: Job,
    claims: Claims,
    is_ready: Callable[[int], bool],
    what_is_lacking: Callable[[int], str],
    remaining: list[int],
) -> None:
    """Return when a shard is free and its inputs are there, all are done, or it is time to stop."""
    said = ""
    while remaining and not job.should_stop() and job.budget.admits():
        holders = set[str]()
        num_held = 0
        for index in filter(is_ready, remaining):
            if (holder := claims.holder(index)) is None:
                return
            holders.add(holder)
            num_held += 1
        text = f"waiting for {len(remaining)} shards"
        if holders:
            text += f"; {num_held} are with {', '.join(sorted(holders))}"
        else:
            text += what_is_lacking(remaining[0])
        if text != said:
            job.report.note(text)
            said = text
        wake = time.monotonic() + max(LOOK_SECONDS, LOOK_SECONDS_PER_SHARD * len(remaining))
        while time.monotonic() < wake and not job.should_stop():
            time.sleep(POLL_SECONDS)
        remaining = claims.remaining()


def _count_rows(finished: FinishedShards) -> int:
    """Rows on disk; a row that two workers made counts twice until its shard is finished."""
    rows, _ = finished.totals()
    return rows + sum(map(tables.count_rows_of_part, parts_of_table(finished.folder)))


def _outcome(finished: FinishedShards, is_complete: bool) -> Outcome:
    """What the finished shards hold; while some are not, the rows of parts count too."""
    if not is_complete:
        return Outcome(rows=_count_rows(finished), complete=False)
    rows, errors = finished.totals()
    return Outcome(rows=rows, errors=errors)
