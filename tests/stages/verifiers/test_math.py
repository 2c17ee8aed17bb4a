"""The symbolic engine in a worker: units, and what is a failure and no wrong answer."""

from collections.abc import Iterator

import pytest
from pebble import ProcessPool

from stages.verifiers.math import equivalent, start_worker
from stages.verifiers.spelling.clean import tidy
from stages.verifiers.workers import workers_context

SUM = r"\sum_{k=1}^4 k"
MEBIBYTE = 1 << 20


def make_pool(memory_bytes: int) -> ProcessPool:
    return ProcessPool(
        max_workers=1,
        initializer=start_worker,
        initargs=(memory_bytes,),
        context=workers_context(),
    )


@pytest.fixture(scope="module")
def worker() -> Iterator[ProcessPool]:
    with make_pool(2048 * MEBIBYTE) as pool:
        yield pool
        pool.stop()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("10 m", SUM + r"\text{ cm}", False),
        ("10 s", SUM + r"\text{ cm}", False),
        ("10 cm", r"\int_0^1 20x\,dx\text{ m}", False),
        (r"1\text{ g}", r"\int_0^1 2x\,dx\text{ kg}", False),
        ("10 cm", SUM + r"\text{ cm}", True),
        ("0.1 m", SUM + r"\text{ cm}", True),
        ("1000 g", r"\int_0^1 2x\,dx\text{ kg}", True),
        (r"2\text{ m}^2", r"\int_0^2 x\,dx\text{ square meters}", True),
        ("10", SUM + r"\text{ cm}", True),
        ("10 cm", SUM, True),
        # What looks like a unit may be an unknown, and a differential.
        (r"\sum_{k=1}^{n} k m", r"m \frac{n(n+1)}{2}", True),
        (r"\sum_{k=1}^{n} k m", r"\frac{n(n+1)}{2}", False),
        (r"\int_0^1 t d t", r"\int_0^1 t^2 d t", False),
    ],
)
def test_units_are_compared(gold: str, answer: str, equal: bool, worker: ProcessPool) -> None:
    future = worker.schedule(equivalent, args=(tidy(gold), tidy(answer)))
    assert future.result() is equal


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("10", r"\frac{", False),
        (r"\frac{", "10", None),
        ("}{", "10", None),
        ("AB ∥ CD", r"AB \perp CD", False),
    ],
)
def test_only_an_answer_that_cannot_be_parsed_is_wrong(
    gold: str, answer: str, equal: bool | None, worker: ProcessPool
) -> None:
    assert worker.schedule(equivalent, args=(gold, answer)).result() is equal


@pytest.mark.parametrize("gold_is_deep", [True, False])
def test_the_end_of_the_stack_is_no_verdict(gold_is_deep: bool, worker: ProcessPool) -> None:
    deep = r"\sqrt{" * 250 + "2" + "}" * 250
    pair = (deep, "10") if gold_is_deep else ("10", deep)
    with pytest.raises(RecursionError):
        worker.schedule(equivalent, args=pair).result()


def test_the_end_of_memory_is_no_verdict() -> None:
    with make_pool(1024 * MEBIBYTE) as pool:
        assert pool.schedule(equivalent, args=("1", r"\sum_{k=1}^{1} k")).result() is True
        with pytest.raises(MemoryError):  # a gigabyte of digits
            pool.schedule(equivalent, args=("1", "2^{9000000000}"), timeout=60).result()
        assert pool.schedule(equivalent, args=("1", r"\sum_{k=1}^{1} k")).result() is True
        pool.stop()  # type: ignore[no-untyped-call]
