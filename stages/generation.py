"""What caption, reason and eval share: planned rows through an engine, one record for each."""

import time
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from data import tables
from data.errors import EngineError, InputError
from stages.engines import Completion, Request
from stages.job import Job, Key, Planned
from stages.serving import Model
from stages.suspects import PROBE, Suspects

Row = TypeVar("Row")

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
    """A row that is with the engine, or was when it died."""

    row: Planned
    request: Request
    since: float = field(default_factory=time.monotonic)


class _Rows(Generic[Row]):
    """Planned rows on their way to records; the arguments are those of `complete`."""

    def __init__(
        self,
        job: Job,
        planned: Iterator[Planned],
        request: Callable[[Planned], Request | Completion],
        record: Callable[[Planned, Completion], Row],
    ) -> None:
        self.job = job
        self.planned = planned
        self.request = request
        self.record = record
        self.waiting: dict[Key, _Waiting] = {}
        """Those that were asked and have no record yet."""
        self.in_engine: dict[Key, Hashable] = {}
        """Those of them that the engine has, in the order they were asked, with their groups."""
        self.settled: deque[Row] = deque()
        """Records that needed no model."""

    def requests(self) -> Iterator[Request]:
        """What to ask: rows that an engine died with, then new ones, read as there is room."""
        yield from self.again(list(self.waiting))
        while not self.job.should_stop() and self.job.budget.admits():
            if (row := next(self.planned, None)) is None:
                return
            asked = self.request(row)
            if isinstance(asked, Completion):
                self.settled.append(self.record(row, asked))
            else:
                self.waiting[row.key] = _Waiting(row, asked)
                yield from self.again([row.key])
            if not self.waiting and len(self.settled) >= MOST_SETTLED:
                return  # there is no completion to come out with

    def again(self, keys: Iterable[Key]) -> Iterator[Request]:
        """Ask these, which wait."""
        for key in keys:
            self.in_engine[key] = self.waiting[key].row.group
            yield self.waiting[key].request

    def take(self, completion: Completion) -> Row:
        """Make the record of a completion."""
        self.in_engine.pop(completion.id, None)
        asked = self.waiting.pop(completion.id)
        if completion.finish_reason in ("stop", "length"):
            self.job.budget.note(time.monotonic() - asked.since)
        return self.record(asked.row, completion)

    def take_settled(self) -> Iterator[Row]:
        """Hand out the records that needed no model."""
        while self.settled:
            yield self.settled.popleft()


def complete(
    model: Model,
    planned: Iterator[Planned],
    request: Callable[[Planned], Request | Completion],
    record: Callable[[Planned, Completion], Row],
) -> Generator[Row, None, None]:
    """Answer planned rows with one of the run's models.

    An engine that dies is started again; a row that it dies of every time is an error row.

    Args:
        model: which. It is loaded when the first row needs it, and stays for those who come later.
        planned: the rows, read as the engine has room. Where what is recorded makes new ones, they
            may come after its end.
        request: what to ask for a row, or its completion where the model need not be asked: an
            error, for one.
        record: how the row and its completion become a record.

    Raises:
        EngineError: the engine failed repeatedly, whatever it was asked.
    """
    rows = _Rows(model.job, planned, request, record)
    suspects = Suspects()
    while True:
        company = [key for key in suspects.company() if key in rows.waiting]
        todo = rows.again(company) if company else rows.requests()
        if (first := next(todo, None)) is not None:
            try:
                yield from _answered(model, chain([first], todo), rows, suspects)
            except EngineError as error:
                yield from _after_death(model, error, rows, suspects)
        elif not rows.settled:
            return
        yield from rows.take_settled()


def _answered(
    model: Model, requests: Iterator[Request], rows: _Rows[Row], suspects: Suspects
) -> Iterator[Row]:
    """Ask until nothing is left to ask, or it is time to stop."""
    with closing(model.answer(requests)) as answers:
        for completion in answers:
            suspects.answered(completion.id)
            yield rows.take(completion)
            yield from rows.take_settled()
    if rows.in_engine:  # what is left was dropped on a stop
        rows.in_engine.clear()
        rows.waiting.clear()


def _after_death(
    model: Model, error: EngineError, rows: _Rows[Row], suspects: Suspects
) -> Iterator[Row]:
    """Start the engine again, and see that it works; the record of a row that it dies of.

    Raises:
        EngineError: it does not, or died too often.
    """
    model.close()
    culprit = suspects.died(error, rows.in_engine)
    rows.in_engine.clear()
    if culprit is not None:
        why = f"engine: it dies whenever it is asked this: {error.what}"
        model.job.report.note(f"{error.what} It dies of {culprit}, which becomes an error row.")
        yield rows.take(Completion(id=culprit, error=why))
    else:
        model.job.report.note(f"{error.what} Starting the engine again.")
    if rows.waiting and not model.job.should_stop():
        list(model.answer(iter([PROBE])))


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
