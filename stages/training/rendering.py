"""Render many rows on all cores, in parts that are still there after a stop or a kill.

    PLAN/parts/DIGEST/part-00003.parquet    what some rows came to, in their order

Nearly all the time that a plan takes goes by here, most of it over images. What a part holds
follows from its rows alone, and parts are read in their order: however many workers there are, and
however often they were stopped, what comes out is the same.
"""

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, wait
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from multiprocessing import forkserver, get_context
from pathlib import Path
from types import TracebackType
from typing import Self

from pebble import ProcessExpired, ProcessPool

from data.errors import EngineError
from data.report import Report
from stages.training.launch import blocked
from stages.training.render import Example, Renderer, Tokens
from stages.training.rendered_part import (
    Given,
    read_part,
    render_in_worker,
    render_part,
    start_worker,
)

ROWS_PER_PART = 16
"""What a worker loses when it is stopped: about 2 s, with images in tiles."""
MOST_WORKERS = 32
"""Each holds a processor of its own, and two parts' worth of images on their way to it."""
WORTH_WORKERS = 256
"""With fewer rows than this, workers would take longer to start than to render them."""
POLL_SECONDS = 0.2
GRACE_SECONDS = 0.5
"""A signal may end a worker this long before we hear of it ourselves."""
LOST = (ProcessExpired, BrokenExecutor)
"""What a part raises whose worker is gone, or the server that workers are forked off."""
PLAN = "plan"
"""What progress calls it, in place of a table."""
PARTS = "parts"


@dataclass
class Part:
    """Some rows, and the file of what they come to."""

    rows: Sequence[Given]
    path: Path
    is_new: bool
    """Whether this attempt renders them."""
    future: "Future[None] | None" = None
    """Where a worker does."""


class Rendering:
    """Renders rows in order. Use as a context manager, which owns the workers.

    Args:
        folder: of the plan.
        digest: of everything that the rows and their tokens depend on.
        make_renderer: makes what turns examples into tokens; workers are sent it.
        should_stop: ends the rendering early.
        report: where progress goes; None: nowhere.
        num_workers: processes; 0: one per core.
    """

    def __init__(
        self,
        folder: Path,
        digest: str,
        make_renderer: Callable[[], Renderer],
        should_stop: Callable[[], bool],
        report: Report | None = None,
        num_workers: int = 0,
    ) -> None:
        self.folder = folder / PARTS / digest
        self.make_renderer = make_renderer
        self.renderer = make_renderer()
        self.should_stop = should_stop
        self.report = report
        self.num_workers = num_workers or min(MOST_WORKERS, len(os.sched_getaffinity(0)))
        self.was_stopped = False
        self._num_parts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if "pool" in vars(self):
            self.pool.stop()  # type: ignore[no-untyped-call]
            self.pool.join()

    @cached_property
    def pool(self) -> ProcessPool:
        """The workers, started for the first part that is worth them.

        They are forked off a server that has loaded the libraries, and no thread of ours.
        """
        context = get_context("forkserver")
        context.set_forkserver_preload([render_part.__module__])
        # The server, and the tracker that starts with it, would end with a traceback. SIGTERM,
        # which ends workers too, is not for them to ignore.
        with blocked((signal.SIGHUP, signal.SIGUSR1)):
            forkserver.ensure_running()
        return ProcessPool(
            max_workers=self.num_workers,
            initializer=start_worker,
            initargs=(self.make_renderer,),
            context=context,
        )

    def rows(
        self, what: str, total: int, given: Iterable[Given]
    ) -> Iterator[tuple[Example, Tokens | str]]:
        """Render rows, or read what earlier attempts have rendered of the same rows.

        Ends early, with `was_stopped`, when it is time to stop.

        Args:
            what: they are called in progress.
            total: how many there are.
            given: the rows, the same in each attempt.

        Yields:
            Each example in order, with its tokens or the reason why it is rejected.

        Raises:
            EngineError: a worker died.
        """
        if self.report is not None and total:
            self.report.start(what, total, min(total, self._num_rows_there()), PLAN)
        in_workers = self.num_workers > 1 and total >= WORTH_WORKERS
        most_waiting = 2 * self.num_workers if in_workers else 0
        waiting: deque[Part] = deque()
        for part in self._parts(given):
            if part.is_new:
                self._begin(part, in_workers)
            waiting.append(part)
            while len(waiting) > most_waiting and not self.was_stopped:
                yield from self._finish(waiting.popleft())
            if self.was_stopped:
                return
        while waiting and not self.was_stopped:
            yield from self._finish(waiting.popleft())

    def _num_rows_there(self) -> int:
        names = {path.name for path in self.folder.glob("part-*")}
        return ROWS_PER_PART * sum(name >= self._name(self._num_parts) for name in names)

    def _name(self, number: int) -> str:
        return f"part-{number:08d}.parquet"

    def _parts(self, given: Iterable[Given]) -> Iterator[Part]:
        rows = iter(given)
        while some := list(islice(rows, ROWS_PER_PART)):
            path = self.folder / self._name(self._num_parts)
            self._num_parts += 1
            yield Part(some, path, is_new=not path.exists())

    def _begin(self, part: Part, in_workers: bool) -> None:
        if in_workers:
            try:
                part.future = self.pool.schedule(render_in_worker, args=(part.rows, part.path))
            except RuntimeError as error:  # so pebble says that a pool is broken
                self._stop_or_raise(error)
        elif not render_part(self.renderer, part.rows, part.path, self.should_stop):
            self.was_stopped = True

    def _finish(self, part: Part) -> Iterator[tuple[Example, Tokens | str]]:
        if not self._is_there(part):
            self.was_stopped = True
            return
        if part.is_new and self.report is not None:
            self.report.advance(rows=len(part.rows))
        found = read_part(part.path)
        yield from zip((example for example, _ in part.rows), found, strict=True)

    def _is_there(self, part: Part) -> bool:
        """Wait for a part; False where it is time to stop first."""
        if part.future is None:
            return not self.should_stop()
        try:
            while not wait([part.future], timeout=POLL_SECONDS).done:
                if self.should_stop():
                    return False
                if not self.pool.active:  # nobody will come to what still waits in its queue
                    raise BrokenExecutor("the pool is broken")
            part.future.result()
        except LOST as error:
            self._stop_or_raise(error)
            return False
        return True

    def _stop_or_raise(self, error: Exception) -> None:
        """Stop where a signal to all processes of the group ended the worker, or its server.

        Raises:
            EngineError: there was no such signal.
        """
        time.sleep(GRACE_SECONDS)
        if not self.should_stop():
            raise EngineError(
                f"A process that turns rows into tokens died ({error}).",
                "If it ran out of memory, give it more, or fewer cores; then run the same command "
                "again, which goes on where this one ended.",
            ) from error
        self.was_stopped = True
