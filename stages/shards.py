"""Map a function over shards: claim, work, commit parts, finish, resume. The only such loop.

Any number of workers may run it on one table. Each claims shards nobody has (`leases.py`), one
after the other, as its engine has room: the stream of rows runs across shard borders, so that the
engine never drains before the end. What is under way lies in parts (`shard_writer.py`). When no
shard is free a worker ends its engine and waits until the others have finished, in case one of them
dies.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from data import tables
from data.errors import Stopped
from stages.job import Job, Outcome, Planned
from stages.shard_writer import Remember, ShardWriter, no_shard

POLL_SECONDS = 0.5
"""How soon a worker without work notices a stop."""
LOOK_SECONDS = 2.0
"""How often it looks for something to do."""


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
    writer = ShardWriter(job, record, job.folder(table), count, is_short)
    job.report.start(job.stage, total, writer.count_done())

    def is_ready(index: int) -> bool:
        return all(tables.shard_path(job.folder(name), index, count).exists() for name in inputs)

    def stream(indices: list[int]) -> Iterator[Planned]:
        for index in indices:
            if job.should_stop() or not job.budget.admits():
                return
            if is_ready(index) and (shard := writer.claim(index)):
                try:
                    yield from writer.open(shard, plan(index), remember)
                except Stopped:
                    return

    remaining = writer.remaining()
    while remaining and not job.should_stop() and job.budget.admits():
        with writer.working():
            for row in execute(stream(remaining)):
                writer.add(row)
        if remaining := writer.remaining():
            _wait_for_work(job, writer, is_ready, remaining)
            remaining = writer.remaining()
    return writer.outcome()


def _wait_for_work(
    job: Job, writer: ShardWriter, is_ready: Callable[[int], bool], remaining: list[int]
) -> None:
    """Return when a shard is free and its inputs are there, all are done, or it is time to stop."""
    said = ""
    while remaining and not job.should_stop() and job.budget.admits():
        ready = [index for index in remaining if is_ready(index)]
        holders = {writer.holder(index) for index in ready}
        if None in holders:
            return
        text = f"waiting for {len(remaining)} shards"
        if holders:
            text += f"; {len(ready)} are with {', '.join(sorted(map(str, holders)))}"
        if text != said:
            job.report.note(text)
            said = text
        wake = time.monotonic() + LOOK_SECONDS
        while time.monotonic() < wake and not job.should_stop():
            time.sleep(POLL_SECONDS)
        remaining = writer.remaining()
