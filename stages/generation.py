"""What caption, reason and eval share: planned rows through an engine, one record for each."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any, TypeVar

from data import tables
from data.errors import EngineError, InputError
from stages.engines import Completion, Request
from stages.job import Key, Planned
from stages.serving import Model

Row = TypeVar("Row")

MOST_FAILURES = 2
"""An engine that fails so often without a completion in between is given up."""
MOST_RESTARTS = 8
"""So is one that fails so often in all: each start of a large model takes minutes."""
MOST_SETTLED = 1000
"""Rows that need no model wait for a completion to come out with, but no more than these."""


def group_rows(prompts: Iterable[tuple[Key, Any]], repeats: range, size: int) -> Iterator[Planned]:
    """Plan every prompt of a shard several times, in the groups that are generated together.

    Where groups have more than one row, a group is the same repeat of the same caption of `size`
    samples that follow each other in the shard: neither what is done already nor a larger number of
    captions or repeats changes it. Else the rows of a prompt follow each other, so that the engine
    finds what it has computed of it.

    Args:
        prompts: (key, item), in the order of the shard; a key begins with its sample.
        repeats: the indices of each prompt's rows, which end the key.
        size: rows of a group, at most.
    """
    if size == 1:
        for key, item in prompts:
            for index in repeats:
                yield Planned(key=(*key, index), group=(*key, index), item=item)
        return
    by_sample = (list(members) for _, members in groupby(prompts, key=lambda prompt: prompt[0][0]))
    while block := list(islice(by_sample, size)):
        alike: dict[Key, list[tuple[Key, Any]]] = {}
        for key, item in chain.from_iterable(block):
            alike.setdefault(key[1:], []).append((key, item))
        for members in alike.values():
            for index in repeats:
                group = (*members[0][0], index)
                for key, item in members:
                    yield Planned(key=(*key, index), group=group, item=item)


@dataclass
class _Waiting:
    """A row that the engine has."""

    row: Planned
    request: Request
    since: float = field(default_factory=time.monotonic)


def complete(
    model: Model,
    planned: Iterator[Planned],
    request: Callable[[Planned], Request | Completion],
    record: Callable[[Planned, Completion], Row],
) -> Generator[Row, None, None]:
    """Answer planned rows with one of the run's models.

    Args:
        model: which. It is loaded when the first row needs it, and stays for those who come later.
        planned: the rows, read as the engine has room. Where what is recorded makes new ones, they
            may come after its end.
        request: what to ask for a row, or its completion where the model need not be asked: an
            error, for one.
        record: how the row and its completion become a record.

    Raises:
        EngineError: the engine failed repeatedly.
    """
    job = model.job
    waiting: dict[Key, _Waiting] = {}
    settled: deque[Row] = deque()

    def requests() -> Iterator[Request]:
        while not job.should_stop() and job.budget.admits():
            if (row := next(planned, None)) is None:
                return
            asked = request(row)
            if isinstance(asked, Completion):
                settled.append(record(row, asked))
            else:
                waiting[row.key] = _Waiting(row, asked)
                yield asked
            if not waiting and len(settled) >= MOST_SETTLED:
                return  # there is no completion to come out with

    todo = requests()
    failures = restarts = 0
    while True:
        if (first := next(todo, None)) is None:
            if not settled:
                return
            todo = requests()
        else:
            try:
                with closing(model.answer(chain([first], todo))) as answers:
                    for completion in answers:
                        failures = 0
                        asked = waiting.pop(completion.id)
                        if completion.finish_reason in ("stop", "length"):
                            job.budget.note(time.monotonic() - asked.since)
                        yield record(asked.row, completion)
                        yield from _taken(settled)
                waiting.clear()  # what is left was dropped on a stop
            except EngineError as error:
                failures += 1
                restarts += 1
                if failures == MOST_FAILURES or restarts == MOST_RESTARTS:
                    raise
                model.close()
                job.report.note(f"{error.what} Starting the engine again.")
            todo = chain([asked.request for asked in waiting.values()], requests())
        yield from _taken(settled)


def _taken(rows: deque[Row]) -> Iterator[Row]:
    while rows:
        yield rows.popleft()


def encoded_images(sample: Mapping[str, Any]) -> list[bytes]:
    """A sample's images as they are stored; an image that can't be read is empty bytes.

    The engine makes an error row of those, as of any image that can't be decoded.
    """
    return [_encoded(image) for image in sample["images"] or []]


def _encoded(image: Mapping[str, Any]) -> bytes:
    try:
        return image["bytes"] or Path(image["path"] or "").read_bytes()
    except OSError:
        return b""


def unknown_sample(path: Path, sample_id: str) -> InputError:
    """The error of a table that has rows of a sample which its shard of the samples lacks."""
    return InputError(
        f"{path} has a row of sample {sample_id!r}, which the same shard of the samples lacks.",
        "Shard i of every table holds the rows of shard i's samples: make the table again.",
    )


def require_table(
    folder: Path, command: str, count: int | None = None, follow: bool = False
) -> int:
    """The number of shards of an input table that must be complete.

    Args:
        folder: the table.
        command: what writes it, for the message.
        count: the number of shards it must have, where another table fixes it.
        follow: it may be under way.

    Raises:
        InputError: it is missing, incomplete, or cut differently.
    """
    if not tables.is_complete(folder) and not (follow and tables.shards(folder)):
        state = "is not complete" if tables.shards(folder) else "does not exist"
        raise InputError(f"The table {folder} {state}.", f"Run `{command}` first.")
    found = tables.shard_count(folder)
    if count is not None and found != count:
        raise InputError(
            f"{folder} has {found} shards where the samples have {count}.",
            "Make it from the samples of this run: shard i holds the rows of the same samples.",
        )
    return found
