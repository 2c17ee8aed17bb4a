"""What caption, reason and eval share: planned rows through an engine, one record for each."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from data import tables
from data.errors import InputError
from stages.engines import Completion, Request, load_engine
from stages.job import Job
from stages.shards import Key, Planned

Row = TypeVar("Row")

ROWS_DEPEND_ON_BATCH = frozenset({"transformers"})
"""Engines whose last bits move with the batch, so that a batch must follow from the keys."""


def group_rows(rows: Iterable[tuple[Key, Any]], engine: str, batch_size: int) -> Iterator[Planned]:
    """Cut a shard's rows into the groups that are generated together.

    A group is a run of `batch_size` rows of the shard, whatever is done of them already, and is
    named by its first key; for engines whose rows don't depend on their neighbours it is one row.
    """
    size = batch_size if engine in ROWS_DEPEND_ON_BATCH else 1
    group: Key = ()
    for position, (key, item) in enumerate(rows):
        if position % size == 0:
            group = key
        yield Planned(key=key, group=group, item=item)


def complete(
    job: Job,
    role: str,
    planned: Iterator[Planned],
    request: Callable[[Planned], Request | str],
    record: Callable[[Planned, Completion], Row],
) -> Iterator[Row]:
    """Answer planned rows with one of the run's models.

    Args:
        job: the attempt; its `should_stop` ends the stream early.
        role: which of `job.models` answers. It is loaded when the first row needs it.
        planned: the rows, read as the engine has room.
        request: what to ask for a row, or why it can't be asked (an error row).
        record: how the row and its completion become a record.

    Raises:
        EngineError: the engine failed.
    """
    waiting: dict[Key, Planned] = {}
    failed: deque[Row] = deque()

    def requests() -> Iterator[Request]:
        for row in planned:
            asked = request(row)
            if isinstance(asked, str):
                failed.append(record(row, Completion(id=row.key, error=asked)))
            else:
                waiting[row.key] = row
                yield asked

    stream = requests()
    first = next(stream, None)
    yield from failed
    failed.clear()
    if first is None:
        return
    job.report.note(f"loading {job.models[role].path} with {job.models[role].engine}")
    engine = load_engine(role, job.models[role])
    try:
        for completion in engine.generate(chain([first], stream), job.should_stop):
            yield record(waiting.pop(completion.id), completion)
            while failed:
                yield failed.popleft()
        yield from failed
    finally:
        engine.close()


def require_table(folder: Path, command: str, count: int | None = None) -> int:
    """The number of shards of an input table that must be complete.

    Args:
        folder: the table.
        command: what writes it, for the message.
        count: the number of shards it must have, where another table fixes it.

    Raises:
        InputError: it is missing, incomplete, or cut differently.
    """
    if not tables.is_complete(folder):
        state = "is not complete" if tables.shards(folder) else "does not exist"
        raise InputError(f"The table {folder} {state}.", f"Run `{command}` first.")
    found = tables.shard_count(folder)
    if count is not None and found != count:
        raise InputError(
            f"{folder} has {found} shards where the samples have {count}.",
            "Make it from the samples of this run: shard i holds the rows of the same samples.",
        )
    return found
