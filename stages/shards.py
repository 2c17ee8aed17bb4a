"""Map a function over shards: plan, work, commit parts, finish, resume. The only loop of its kind.

While a shard is under way its rows lie in parts, `TABLE/.parts/00003/*.parquet`, each written
atomically; when every planned key is there, the parts become the shard. A kill at any moment loses
at most the work since the last part. Two workers at once may do the same work twice, but can't
damage or duplicate anything: keys are counted once, a finished shard is never replaced, and a
worker whose shard another one has finished lets go of it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from stages.job import Job, Outcome, Planned
from stages.shard_writer import ShardWriter


def map_shards(
    job: Job,
    *,
    record: type,
    table: str,
    count: int,
    plan: Callable[[int], Iterable[Planned]],
    execute: Callable[[Iterator[Planned]], Iterator[Any]],
    total: int,
) -> Outcome:
    """Make every row of a table that is not there yet, and finish its shards.

    The stream that `execute` reads runs across shard borders, so that it never has to drain.

    Args:
        job: the attempt.
        record: the record class of the table's rows.
        table: name of the output folder inside the run.
        count: number of shards.
        plan: shard index -> its rows, in the order they have in the finished shard.
        execute: a stream of planned rows -> records, in any order. It may leave out rows when
            `job.should_stop()` turns true.
        total: rows of the whole table, for the progress bar.
    """
    writer = ShardWriter(job, record, job.folder(table), count)
    job.report.start(job.stage, total, writer.count_done())

    def stream() -> Iterator[Planned]:
        for index in range(count):
            if job.should_stop():
                return
            if not writer.is_finished(index):
                yield from writer.open(index, plan(index))

    with writer.committing():
        for row in execute(stream()):
            writer.add(row)
    return writer.outcome()
