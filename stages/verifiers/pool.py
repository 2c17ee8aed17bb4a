"""Judge a stream of attempts in worker processes, with a deadline and a memory limit for each.

The rules take a batch of attempts at a time; of a batch that its worker does not survive each is
judged again alone, and is a `timeout` where that takes too long. What the rules leave to algebra is
compared one by one: a comparison that takes too long, or whose worker is gone, is tried once more
when nothing else runs, and is then a `timeout` or an `error`, which are not judged. Each distinct
(gold, answer) pair is compared once. A run begins with a self-test.
"""

import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from types import TracebackType
from typing import TypeVar

from data.errors import EngineError
from stages.verifiers import Attempt, Judgement, judge_by_rule
from stages.verifiers.math import equivalent
from stages.verifiers.rulings import Comparison, Ruling, is_ready, judgement
from stages.verifiers.selftest import SYMBOLIC, wrong_rules
from stages.verifiers.workers import LOST, Workers, workers_context

Tag = TypeVar("Tag")
BATCH = 64
"""Attempts that a worker judges by the rules in one go."""
BATCH_SECONDS = 0.05
"""A batch is sent off before it is full where attempts come slower than this."""
MOST_WAITING = 256
REMEMBERED = 100_000
GRACE_SECONDS = 0.5
"""A signal may end a worker this long before we hear of it ourselves."""
RULES = 0.2
"""Share of the time that the rules may take, in a batch and again alone."""
FIRST_TRY, SECOND_TRY = 0.4, 0.35
"""Shares of the time that a comparison may take; the rest is for ending and starting workers."""
START_SECONDS = 120.0
"""A worker that has not loaded its libraries by then will not."""
Ruled = Judgement | tuple[str, str, str]
"""As `judge_by_rule` returns it."""
Batch = list[tuple[Tag, Attempt]]


def _never() -> bool:
    return False


class Judge:
    """Verdicts for attempts, as a context manager that owns the workers.

    Args:
        timeout_seconds: the longest that one answer may take, tried again or not.
        num_workers: processes; 0: one per core.
    """

    def __init__(self, timeout_seconds: float = 5.0, num_workers: int = 0) -> None:
        self.timeout_seconds = timeout_seconds
        self.num_workers = num_workers or len(os.sched_getaffinity(0))
        self.workers = Workers(self.num_workers)
        self.compared: OrderedDict[tuple[str, str], Comparison] = OrderedDict()
        self.probes: list[tuple[str, bool, Future[bool | None]]] | None = None

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
        self.workers.stop()

    def compare(self, gold: str, answer: str) -> Comparison:
        """Begin to compare two answers symbolically, unless they have been compared before."""
        pair = gold, answer
        if (known := self.compared.get(pair)) is not None:
            return known
        self._probe_engine()
        found = self.compared[pair] = Comparison(gold, answer, self._try(gold, answer, FIRST_TRY))
        if len(self.compared) > REMEMBERED:
            self.compared.popitem(last=False)
        return found

    def _try(self, gold: str, answer: str, share: float) -> "Future[bool | None]":
        seconds = self.timeout_seconds * share
        return self.workers.run(equivalent, gold, answer, seconds=seconds)

    def submit(self, attempt: Attempt, tell: Callable[[Judgement], None]) -> None:
        """Have one attempt judged, with one try; nothing waits.

        Args:
            attempt: what is to be judged.
            tell: is called with the judgement, in a thread of the workers', or never where they
                are stopped before it is there.
        """

        def compared(ruling: Ruling, future: "Future[bool | None]") -> None:
            if not future.cancelled():
                tell(judgement(ruling))

        def ruled(future: "Future[list[Ruled]]") -> None:
            if future.cancelled():
                return
            if (error := future.exception()) is not None:
                is_bomb = isinstance(error, TimeoutError | MemoryError)
                tell(Judgement(status="timeout" if is_bomb else "error", verifier="rule"))
                return
            ruling = self._ruling(future.result()[0])
            if isinstance(ruling, Judgement):
                tell(ruling)
                return
            ruling[1].add_done_callback(partial(compared, ruling))

        self._send([attempt]).add_done_callback(ruled)

    def check_engine(self) -> None:
        """Have the symbolic engine judge what is known, and wait for it.

        Raises:
            EngineError: it fails, or is too slow.
        """
        self._probe_engine()
        self._check_engine(_never)

    def _ruling(self, ruled: Ruled) -> Ruling:
        if isinstance(ruled, Judgement):
            return ruled
        gold, answer, extracted = ruled
        return extracted, self.compare(gold, answer)

    def judge(
        self, attempts: Iterable[tuple[Tag, Attempt]], should_stop: Callable[[], bool] = _never
    ) -> Iterator[tuple[Tag, Judgement]]:
        """Judge tagged attempts, in order, reading only a little ahead.

        When `should_stop` turns true, comparisons under way are left out, and attempts whose batch
        has to be judged again.

        Raises:
            EngineError: the symbolic engine fails its self-test, or workers can't be kept alive.
        """
        waiting: deque[tuple[Tag, Ruling]] = deque()
        for ruled in self._by_rules(attempts, should_stop):
            waiting.append(ruled)
            while len(waiting) > MOST_WAITING or (waiting and is_ready(waiting[0][1])):
                tag, ruling = waiting.popleft()
                if found := self._settle(ruling, waiting, should_stop):
                    yield tag, found
        while waiting:
            tag, ruling = waiting.popleft()
            if found := self._settle(ruling, waiting, should_stop):
                yield tag, found

    def _by_rules(
        self, attempts: Iterable[tuple[Tag, Attempt]], should_stop: Callable[[], bool]
    ) -> Iterator[tuple[Tag, Ruling]]:
        """What the rules say of each attempt, in order; each worker has two batches at most."""
        under_way: deque[tuple[Batch[Tag], Future[list[Ruled]]]] = deque()
        for batch in _batches(attempts):
            under_way.append((batch, self._send([attempt for _, attempt in batch])))
            while under_way and (len(under_way) > 2 * self.num_workers or under_way[0][1].done()):
                batch, future = under_way.popleft()
                yield from self._returned(batch, future, under_way, should_stop)
        while under_way:
            batch, future = under_way.popleft()
            yield from self._returned(batch, future, under_way, should_stop)

    def _send(self, attempts: list[Attempt]) -> "Future[list[Ruled]]":
        return self.workers.run(judge_rows, attempts, seconds=self.timeout_seconds * RULES)

    def _returned(
        self,
        batch: Batch[Tag],
        future: "Future[list[Ruled]]",
        others: Iterable[tuple[Batch[Tag], "Future[list[Ruled]]"]],
        should_stop: Callable[[], bool],
    ) -> Iterator[tuple[Tag, Ruling]]:
        """What the rules say of a batch: each is judged alone where they could not get through."""
        if future.exception() is None:
            for (tag, _), ruled in zip(batch, future.result(), strict=True):
                yield tag, self._ruling(ruled)
            return
        if isinstance(future.exception(), LOST):
            time.sleep(GRACE_SECONDS)
        # Others may have kept the machine busy: nothing else is judged by the rules meanwhile.
        wait([other for _, other in others])
        for tag, attempt in batch:
            if (found := self._alone(attempt, should_stop)) is None:
                return
            yield tag, self._ruling(found)

    def _alone(self, attempt: Attempt, should_stop: Callable[[], bool]) -> Ruled | None:
        """What the rules say of an attempt; None: everything is to stop, and nothing is known."""
        if should_stop():
            return None
        try:
            (ruled,) = self._send([attempt]).result()
        except (TimeoutError, MemoryError):
            return Judgement(status="timeout", verifier="rule")
        except LOST:  # it may be the signal that says to stop
            time.sleep(GRACE_SECONDS)
            return None if should_stop() else Judgement(status="error", verifier="rule")
        return ruled

    def _settle(
        self, ruling: Ruling, others: Iterable[tuple[Tag, Ruling]], should_stop: Callable[[], bool]
    ) -> Judgement | None:
        """The judgement, or None where everything is to stop and it is not there yet."""
        if isinstance(ruling, Judgement):
            return ruling
        comparison = ruling[1]
        if should_stop() and not comparison.done():
            return None
        found = judgement(ruling)
        if (found.status == "timeout" or comparison.is_lost()) and not comparison.retried:
            if comparison.is_lost():
                time.sleep(GRACE_SECONDS)
            if should_stop():
                return None
            # Others may have kept the machine busy: the second try has it alone.
            wait([other[1].future for _, other in others if not isinstance(other, Judgement)])
            comparison.retried.append(self._try(comparison.gold, comparison.answer, SECOND_TRY))
            found = judgement(ruling)
        if comparison.is_lost():
            self.compared.pop((comparison.gold, comparison.answer), None)
            return None if should_stop() else found
        self._check_engine(should_stop)
        return found

    def _probe_engine(self) -> None:
        """Have the engine judge what is known, before it judges anything else."""
        if self.probes is None:
            self.probes = [
                (gold, right, self.workers.run(equivalent, gold, answer, seconds=START_SECONDS))
                for gold, answer, right in SYMBOLIC
            ]

    def _check_engine(self, should_stop: Callable[[], bool]) -> None:
        """See, the first time the engine has judged, whether it judges what is known."""
        probes, self.probes = self.probes, []
        for gold, right, future in probes or []:
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


def judge_rows(attempts: list[Attempt]) -> list[Ruled]:
    """What the rules say of each attempt."""
    return [judge_by_rule(attempt) for attempt in attempts]


def _batches(attempts: Iterable[tuple[Tag, Attempt]]) -> Iterator[Batch[Tag]]:
    """Attempts in groups: as many as come at once, up to a limit."""
    batch: Batch[Tag] = []
    began = time.monotonic()
    for each in attempts:
        batch.append(each)
        if len(batch) == BATCH or time.monotonic() - began > BATCH_SECONDS:
            yield batch
            batch, began = [], time.monotonic()
    if batch:
        yield batch
