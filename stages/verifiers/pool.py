"""Judge a stream of attempts; algebra runs in worker processes with a hard deadline each.

A comparison that takes too long costs its worker's life; it is tried once more when nothing else
runs, and is then a `timeout`, which is not judged. Each distinct (gold, answer) pair is compared
once. A run begins with a self-test. Workers are forked off a server that has loaded the symbolic
engine, so that one takes the place of a dead one within a tenth of a second.
"""

import functools
import multiprocessing.context
import multiprocessing.forkserver
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TypeVar

from pebble import ProcessPool

from data.errors import EngineError
from stages.verifiers import Attempt, Judgement, judge_by_rule, judge_symbolic
from stages.verifiers.math import equivalent, start_worker
from stages.verifiers.selftest import SYMBOLIC, wrong_rules

Tag = TypeVar("Tag")
TASKS_PER_WORKER = 500
"""A worker is replaced after this many, because sympy's caches only grow."""
MOST_WAITING = 256
REMEMBERED = 100_000
GRACE_SECONDS = 0.5
"""A signal may end a worker this long before we hear of it ourselves."""
FIRST_TRY = 0.45
SECOND_TRY = 0.4
"""Shares of the time that a comparison may take; the rest is for ending and starting workers."""
PRELOADED = (
    "math_verify",
    "stages.verifiers.math",
    "pydantic",
    "typer",
    "rich",
    "pyarrow",
    "numpy",
)
"""What workers use, and what the command that starts them imports."""
START_SECONDS = 120.0
"""A worker that has not loaded its libraries by then will not."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """A symbolic comparison that is under way."""

    gold: str
    answer: str
    future: "Future[bool | None]"
    retried: "list[Future[bool | None]]" = field(default_factory=list)
    """The second try, once there is one."""

    def done(self) -> bool:
        """Whether its first try is over."""
        return self.future.done()

    def add_done_callback(self, tell: Callable[[object], object]) -> None:
        """Call `tell` when the first try is over."""
        self.future.add_done_callback(tell)

    def result(self) -> bool | None:
        """What it came to.

        Raises:
            TimeoutError: it took too long.
        """
        return (self.retried[0] if self.retried else self.future).result()


Ruling = Judgement | tuple[str, Comparison]
"""A judgement, or an answer whose comparison is under way."""


def _never() -> bool:
    return False


class Judge:
    """Verdicts for attempts, as a context manager that owns the workers.

    Args:
        timeout_seconds: the longest that one comparison may take, tried again or not.
        num_workers: processes; 0: one per core.
    """

    def __init__(self, timeout_seconds: float = 5.0, num_workers: int = 0) -> None:
        self.timeout_seconds = timeout_seconds
        self.num_workers = num_workers or len(os.sched_getaffinity(0))
        self.compare = functools.lru_cache(maxsize=REMEMBERED)(self._compare)
        self.probes: list[tuple[str, bool, Future[bool | None]]] = []

    @functools.cached_property
    def pool(self) -> ProcessPool:
        """The workers, started by the first comparison that needs them."""
        pool = ProcessPool(
            max_workers=self.num_workers,
            max_tasks=TASKS_PER_WORKER,
            initializer=start_worker,
            context=workers_context(),
        )
        self.probes = [
            (gold, right, pool.schedule(equivalent, args=(gold, answer), timeout=START_SECONDS))
            for gold, answer, right in SYMBOLIC
        ]
        return pool

    def __enter__(self) -> "Judge":
        if wrong := wrong_rules():
            raise EngineError(
                f"The verifier fails its self-test: {'; '.join(wrong[:3])}.",
                "Install the versions of the libraries that this package asks for.",
            )
        workers_context()  # loads the engine while the first answers are read
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

    def _compare(self, gold: str, answer: str) -> Comparison:
        return Comparison(gold, answer, self._try(gold, answer, FIRST_TRY))

    def _try(self, gold: str, answer: str, share: float) -> "Future[bool | None]":
        future: Future[bool | None] = self.pool.schedule(
            equivalent, args=(gold, answer), timeout=self.timeout_seconds * share
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

        When `should_stop` turns true, comparisons under way are left out, and nothing else.

        Raises:
            EngineError: the symbolic engine fails its self-test.
        """
        waiting: deque[tuple[Tag, Ruling]] = deque()
        for tag, attempt in attempts:
            waiting.append((tag, self.submit(attempt)))
            while len(waiting) > MOST_WAITING or (waiting and _is_ready(waiting[0][1])):
                tag, ruled = waiting.popleft()
                if found := self._settle(ruled, waiting, should_stop):
                    yield tag, found
        while waiting:
            tag, ruled = waiting.popleft()
            if found := self._settle(ruled, waiting, should_stop):
                yield tag, found

    def _settle(
        self, ruling: Ruling, others: Iterable[tuple[Tag, Ruling]], should_stop: Callable[[], bool]
    ) -> Judgement | None:
        """The judgement, or None where everything is to stop and it is not there yet."""
        if isinstance(ruling, Judgement):
            return ruling
        if should_stop() and not ruling[1].done():
            return None
        found = judgement(ruling)
        if found.status == "timeout" and not ruling[1].retried:
            if should_stop():
                return None
            # Others may have kept the machine busy: the second try has it alone.
            wait([other[1].future for _, other in others if not isinstance(other, Judgement)])
            comparison = ruling[1]
            comparison.retried.append(self._try(comparison.gold, comparison.answer, SECOND_TRY))
            found = judgement(ruling)
        if found.status == "error":
            if not should_stop():
                time.sleep(GRACE_SECONDS)
            return None if should_stop() else found
        self._check_engine(should_stop)
        return found

    def _check_engine(self, should_stop: Callable[[], bool]) -> None:
        """See, the first time the engine has judged, whether it judges what is known."""
        probes, self.probes = self.probes, []
        for gold, right, future in probes:
            found: bool | Exception | None
            try:
                found = future.result()
            except Exception as error:  # whatever it died of, it is not to be relied on
                found = error
            if found is not right and not should_stop():
                raise EngineError(
                    f"The symbolic engine fails its self-test: {gold} came to {found!r}.",
                    "Install the versions of math-verify and sympy that this package asks for.",
                )


def workers_context() -> multiprocessing.context.ForkServerContext:
    """The process that workers are forked from, started if need be; nothing waits for it."""
    context = multiprocessing.get_context("forkserver")
    loaded = [name for name in PRELOADED if name in sys.modules or "." in name or "_" in name]
    context.set_forkserver_preload(loaded)
    multiprocessing.forkserver.ensure_running()
    return context


def _is_ready(ruling: Ruling) -> bool:
    return isinstance(ruling, Judgement) or ruling[1].done()


def judgement(ruling: Ruling) -> Judgement:
    """What a ruling comes to, waiting for its comparison."""
    if isinstance(ruling, Judgement):
        return ruling
    answer, comparison = ruling
    broken = Judgement(status="error", extracted_answer=answer, verifier="math")
    try:
        return judge_symbolic(answer, comparison.result())
    except (TimeoutError, MemoryError):  # a bomb takes time or memory; it is the same to us
        return replace(broken, status="timeout")
    except Exception:  # whatever a comparison died of, the answer was not judged
        return broken
