"""Workers that die, rules that take too long: what becomes of the answers."""

import multiprocessing.forkserver
import os
import signal
import time
from collections.abc import Iterable
from concurrent.futures import Future

import psutil
import pytest

from data.errors import EngineError
from stages.verifiers import Attempt, Judgement, pool
from stages.verifiers.pool import Judge
from tests.stages.verifiers.test_verifiers import SUM, attempt

SAME = r"\sum_{k=2}^{4} k + 1"
MANY_WORDS = " ".join(f"w{index % 97}" for index in range(1_400))
"""Two million pairs of words: about a second of ROUGE-L."""


def judged(judge: Judge, attempts: Iterable[Attempt]) -> list[Judgement]:
    return [found for _, found in judge.judge(enumerate(attempts))]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_server() -> None:
    """End the process that workers are forked from, as the kernel does when memory is short."""
    server = multiprocessing.forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    os.kill(server, signal.SIGKILL)
    time.sleep(0.5)


def test_rules_have_a_deadline_and_their_neighbours_none_the_worse() -> None:
    slow = Attempt(gold=MANY_WORDS, text=MANY_WORDS[::-1] + MANY_WORDS, answer_type="free_text")
    with Judge(timeout_seconds=0.5, num_workers=1) as judge:
        judged(judge, [attempt("3", "3")])  # the worker has started
        started = time.monotonic()
        found = judged(judge, [attempt("3", "3"), slow, attempt("3", "4")])
        seconds = time.monotonic() - started
    assert [one.status for one in found] == ["correct", "timeout", "incorrect"]
    assert found[1].outcome_reward is None
    assert seconds < 0.5 + 1


class Losing(Judge):
    """The workers of its rules die, of batches and of attempts alone."""

    def _send(self, attempts: list[Attempt]) -> "Future[list[pool.Ruled]]":
        return self.workers.run(die, seconds=9.0)  # type: ignore[arg-type]


def test_attempts_that_a_stop_took_the_worker_from_are_left_out() -> None:
    """A verdict would say what became of the worker; the next run gives the answer's own."""
    with Losing(num_workers=1) as judge:
        attempts = [(place, attempt("3", "3")) for place in range(3)]
        assert list(judge.judge(attempts, should_stop=lambda: True)) == []
        statuses = [found.status for _, found in judge.judge(attempts[:1])]
    assert statuses == ["error"]


def test_batches_keep_the_order_of_the_attempts() -> None:
    with Judge(num_workers=2) as judge:
        golds = [str(index) for index in range(1_000)]
        found = judged(judge, (attempt(gold, gold) for gold in golds))
    assert [one.extracted_answer for one in found] == golds
    assert {one.status for one in found} == {"correct"}


def test_attempts_that_come_slowly_are_not_held_back() -> None:
    asked: list[int] = []

    def slowly() -> Iterable[tuple[int, Attempt]]:
        for index in range(8):
            asked.append(index)
            time.sleep(0.2)
            yield index, attempt("3", "3")

    with Judge(num_workers=1) as judge:
        judged(judge, [attempt("3", "3")])
        next(iter(judge.judge(slowly())))
    assert len(asked) < 5


class Dying(Judge):
    """Its comparisons take their workers along, for the first few tries."""

    deaths = 1
    tries = 0

    def _try(self, gold: str, answer: str, share: float) -> "Future[bool | None]":
        self.tries += 1
        if self.tries <= self.deaths:
            return self.workers.run(die, seconds=9.0)  # type: ignore[arg-type]
        return super()._try(gold, answer, share)


def test_a_comparison_whose_worker_died_is_tried_again() -> None:
    with Dying(timeout_seconds=20, num_workers=1) as judge:
        assert judged(judge, [attempt(SUM, SAME)])[0].status == "correct"
    assert judge.tries == 2


def test_a_comparison_whose_workers_die_is_an_error_that_nobody_remembers() -> None:
    with Dying(timeout_seconds=20, num_workers=1) as judge:
        judge.deaths = 2
        started = time.monotonic()
        found = judged(judge, [attempt(SUM, SAME)] * 20)
        assert {(one.status, one.outcome_reward) for one in found} == {("error", None)}
        assert judge.tries == 2
        assert time.monotonic() - started < 10 * pool.GRACE_SECONDS, "20 rows wait once"
        assert judged(judge, [attempt(SUM, SAME)])[0].status == "correct"


def test_a_dead_server_is_replaced_once() -> None:
    with Judge(timeout_seconds=20, num_workers=1) as judge:
        assert judged(judge, [attempt(SUM, SAME)])[0].status == "correct"
        kill_server()
        statuses = [one.status for one in judged(judge, [attempt(SUM, "11"), attempt("3", "3")])]
        assert statuses == ["incorrect", "correct"]
        kill_server()
        with pytest.raises(EngineError, match="killed"):
            judged(judge, [attempt("3", "3")])


def test_a_worker_ends_with_its_server() -> None:
    with Judge(num_workers=1) as judge:
        worker = judge.workers.run(os.getpid, seconds=60).result()
        judge.workers.run(time.sleep, 60, seconds=60)
        kill_server()
        status = psutil.Process(worker).status() if psutil.pid_exists(worker) else "gone"
        assert status in ("gone", psutil.STATUS_ZOMBIE)
