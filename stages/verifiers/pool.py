"""Judge a stream of attempts; algebra runs in worker processes with a hard deadline each.

A comparison that takes too long costs its worker's life and is a `timeout`, which is not judged;
the pool starts a new worker. Each distinct (gold, answer) pair is compared once.
"""

import functools
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import TypeVar

from pebble import ProcessPool

from stages.verifiers import Attempt, Judgement, judge_by_rule, judge_symbolic
from stages.verifiers.math import equivalent, start_worker

Tag = TypeVar("Tag")
TASKS_PER_WORKER = 2000
"""A worker is replaced after this many, because sympy's caches only grow."""
MOST_WAITING = 256
REMEMBERED = 100_000
GRACE_SECONDS = 0.5
"""A signal may end a worker this long before we hear of it ourselves."""

Ruling = Judgement | tuple[str, "Future[bool | None]"]
"""A judgement, or an answer whose comparison is under way."""


def _never() -> bool:
    return False


class Judge:
    """Verdicts for attempts, as a context manager that owns the workers.

    Args:
        timeout_seconds: the longest that one comparison may take.
        num_workers: processes; 0: one per core.
    """

    def __init__(self, timeout_seconds: float = 5.0, num_workers: int = 0) -> None:
        self.timeout_seconds = timeout_seconds
        self.num_workers = num_workers or len(os.sched_getaffinity(0))
        self.compare = functools.lru_cache(maxsize=REMEMBERED)(self._compare)

    @functools.cached_property
    def pool(self) -> ProcessPool:
        """The workers, started by the first comparison that needs them."""
        return ProcessPool(
            max_workers=self.num_workers,
            max_tasks=TASKS_PER_WORKER,
            initializer=start_worker,
            context=multiprocessing.get_context("spawn"),
        )

    def __enter__(self) -> "Judge":
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

    def _compare(self, gold: str, answer: str) -> "Future[bool | None]":
        future: Future[bool | None] = self.pool.schedule(
            equivalent, args=(gold, answer), timeout=self.timeout_seconds
        )
        return future

    def submit(self, attempt: Attempt) -> Ruling:
        """Judge one attempt, or begin to; nothing waits."""
        ruling = judge_by_rule(attempt)
        if isinstance(ruling, Judgement):
            return ruling
        gold, answer, extracted = ruling
        return extracted, self.compare(gold, answer)

    def judge(
        self, attempts: Iterable[tuple[Tag, Attempt]], should_stop: Callable[[], bool] = _never
    ) -> Iterator[tuple[Tag, Judgement]]:
        """Judge tagged attempts, in order, reading only a little ahead.

        When `should_stop` turns true, comparisons under way are left out.
        """
        waiting: deque[tuple[Tag, Ruling]] = deque()
        for tag, attempt in attempts:
            waiting.append((tag, self.submit(attempt)))
            while len(waiting) > MOST_WAITING or (waiting and _is_ready(waiting[0][1])):
                tag, ruled = waiting.popleft()
                if (found := _settle(ruled, should_stop)) is None:
                    return
                yield tag, found
        for tag, ruled in waiting:
            if (found := _settle(ruled, should_stop)) is None:
                return
            yield tag, found


def _is_ready(ruling: Ruling) -> bool:
    return isinstance(ruling, Judgement) or ruling[1].done()


def judgement(ruling: Ruling) -> Judgement:
    """What a ruling comes to, waiting for its comparison."""
    if isinstance(ruling, Judgement):
        return ruling
    answer, future = ruling
    broken = Judgement(status="error", extracted_answer=answer, verifier="math")
    try:
        return judge_symbolic(answer, future.result())
    except TimeoutError:
        return replace(broken, status="timeout")
    except Exception:  # whatever a comparison died of, the answer was not judged
        return broken


def _settle(ruling: Ruling, should_stop: Callable[[], bool]) -> Judgement | None:
    """The judgement, or None where everything is to stop and it is not there yet."""
    if isinstance(ruling, Judgement):
        return ruling
    if should_stop() and not ruling[1].done():
        return None
    found = judgement(ruling)
    if found.status == "error":
        time.sleep(GRACE_SECONDS)
        return None if should_stop() else found
    return found
