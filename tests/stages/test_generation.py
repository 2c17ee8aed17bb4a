"""Planned rows through an engine: groups, rows that can't be asked, engines that fail."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import ClassVar

import pytest

from data import tables
from data.errors import EngineError
from stages import generation, serving, suspects
from stages.engines import Completion, ModelConfig, Request, Sampling
from stages.generation import complete, group_rows
from stages.job import Job, Key, Planned
from stages.serving import Model
from tests.reports import SilentReport

JOB = Job(
    stage="caption",
    run_dir=Path(),
    seed=0,
    models={"policy": ModelConfig(path="none")},
    metadata=tables.Metadata(stage="caption", digest="d"),
    report=SilentReport(),
)


def prompts(num_samples: int, num_captions: int) -> list[tuple[Key, None]]:
    return [
        ((f"s{i}", caption), None) for i in range(num_samples) for caption in range(num_captions)
    ]


def test_groups_are_alike_rows_of_samples_that_follow_each_other() -> None:
    rows = list(group_rows(prompts(5, 2), range(3), 4))
    groups = {group: [row.key for row in members] for group, members in groupby(rows, by_group)}
    assert len(rows) == 5 * 2 * 3
    assert len(groups) == 2 * 2 * 3
    assert groups["s0", 1, 2] == [(f"s{i}", 1, 2) for i in range(4)]
    assert groups["s4", 1, 2] == [("s4", 1, 2)]


def test_more_captions_or_rollouts_leave_the_other_groups_as_they_are() -> None:
    def groups(num_captions: int, num_rollouts: int) -> set[tuple[object, Key]]:
        rows = group_rows(prompts(5, num_captions), range(num_rollouts), 3)
        return {(row.group, row.key) for row in rows}

    assert groups(2, 3) < groups(4, 3) < groups(4, 5)


def test_rows_that_do_not_depend_on_neighbours_stand_alone() -> None:
    rows = list(group_rows(prompts(2, 2), range(3), 1))
    assert len({row.group for row in rows}) == 12
    assert [row.key for row in rows] == sorted(row.key for row in rows)


def by_group(row: Planned) -> object:
    return row.group


class FailingEngine:
    """Answers some requests, then fails: what a real engine does when its GPU is lost."""

    answers_before_failure: ClassVar[list[int]] = []

    def __init__(self) -> None:
        self.left = self.answers_before_failure.pop(0)

    def generate(
        self, requests: Iterable[Request], should_stop: Callable[[], bool]
    ) -> Iterator[Completion]:
        ahead = []
        for request in requests:
            ahead.append(request)
            if len(ahead) < 3:
                continue
            if self.left == 0:
                raise EngineError("The engine is gone.", "Look for it.")
            self.left -= 1
            yield Completion(id=ahead.pop(0).id, text="ok", finish_reason="stop")
        for request in ahead:
            yield Completion(id=request.id, text="ok", finish_reason="stop")

    def figures(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        pass


def answer(
    monkeypatch: pytest.MonkeyPatch, engine: type, num_rows: int = 20, group_size: int = 1
) -> Iterator[tuple[int, str | None]]:
    monkeypatch.setattr(serving, "load_engine", lambda *_: engine())
    planned = (
        Planned(key=(str(index),), group=index // group_size, item=index)
        for index in range(num_rows)
    )

    def request(row: Planned) -> Request | Completion:
        if row.item % 5 == 4:
            return Completion(id=row.key, error="image: broken")
        return Request(id=row.key, messages=[], sampling=Sampling(), seed=0)

    return complete(
        Model(JOB, "policy"), planned, request, lambda row, done: (row.item, done.error)
    )


def test_every_row_is_answered_once_though_the_engine_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FailingEngine, "answers_before_failure", [2, 1, 5, 1, 100])
    assert sorted(answer(monkeypatch, FailingEngine)) == [
        (index, "image: broken" if index % 5 == 4 else None) for index in range(20)
    ]


class MortalEngine:
    """Dies when it has a row that is deadly to it: an image that trips its kernels, for one."""

    deadly: ClassVar[Callable[[int], bool]]
    room: ClassVar[int] = 100
    num_started: ClassVar[int] = 0

    def __init__(self) -> None:
        MortalEngine.num_started += 1

    def generate(
        self, requests: Iterable[Request], should_stop: Callable[[], bool]
    ) -> Iterator[Completion]:
        requests = iter(requests)
        has = list(islice(requests, self.room))
        while has:
            if any(request.id[0].isdigit() and self.deadly(int(request.id[0])) for request in has):
                raise EngineError("The engine is gone.", "Look for it.")
            yield Completion(id=has.pop(0).id, text="ok", finish_reason="stop")
            has.extend(islice(requests, 1))

    def figures(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        pass


def mortal(monkeypatch: pytest.MonkeyPatch, deadly: Callable[[int], bool]) -> type[MortalEngine]:
    monkeypatch.setattr(MortalEngine, "deadly", staticmethod(deadly), raising=False)
    monkeypatch.setattr(MortalEngine, "num_started", 0)
    return MortalEngine


@pytest.mark.parametrize("deadly", [{0}, {777}, {1998}, {123, 130, 1500}])
def test_rows_that_the_engine_dies_of_become_error_rows(
    monkeypatch: pytest.MonkeyPatch, deadly: set[int]
) -> None:
    engine = mortal(monkeypatch, deadly.__contains__)
    found = dict(answer(monkeypatch, engine, 2000))
    assert len(found) == 2000
    failed = {index for index, error in found.items() if error and index % 5 != 4}
    assert failed == deadly
    assert all("engine: it dies whenever" in (found[index] or "") for index in deadly)
    assert engine.num_started <= 1 + 4 * len(deadly)  # with 100 rows, 12, 1: the third death twice


def test_a_last_row_that_the_engine_dies_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the others were answered by an attempt before this one."""
    engine = mortal(monkeypatch, lambda index: True)
    ((index, error),) = answer(monkeypatch, engine, 1)
    assert index == 0 and error is not None and "The engine is gone" in error
    assert engine.num_started == 3


def test_an_engine_that_fails_at_whatever_it_is_asked_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FailingEngine, "answers_before_failure", [4, 0, 0, 100])

    class Broken(FailingEngine):
        def generate(
            self, requests: Iterable[Request], should_stop: Callable[[], bool]
        ) -> Iterator[Completion]:
            if not self.left:
                raise EngineError("The engine is gone.", "Look for it.")
            return super().generate(requests, should_stop)

    rows = answer(monkeypatch, Broken)
    with pytest.raises(EngineError, match="gone"):
        print(list(rows))
    assert FailingEngine.answers_before_failure == [0, 100], "the second time it does not start"


def test_an_engine_that_dies_of_every_row_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = mortal(monkeypatch, lambda index: True)
    found = []
    with pytest.raises(EngineError, match="gone"):
        for row in answer(monkeypatch, engine):
            found.append(row)
    failed = [index for index, error in found if error != "image: broken"]
    assert len(failed) == suspects.MOST_CONVICTED
    assert engine.num_started < 20


def test_rows_that_share_a_batch_are_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they say follows from the batch, so none of them can be asked alone."""
    engine = mortal(monkeypatch, lambda index: index == 10)
    monkeypatch.setattr(engine, "room", 4)
    found = []
    with pytest.raises(EngineError, match="gone"):
        for row in answer(monkeypatch, engine, group_size=4):
            found.append(row)
    assert {error for _, error in found} <= {None, "image: broken"}
    assert engine.num_started <= 5


def test_an_engine_stays_for_rows_that_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that waits for shards of its input goes on with the model it has."""
    engines: list[FailingEngine] = []
    monkeypatch.setattr(FailingEngine, "answers_before_failure", [100, 100])
    monkeypatch.setattr(FailingEngine, "close", lambda engine: engines.remove(engine))

    def load(*_: object) -> FailingEngine:
        engines.append(FailingEngine())
        return engines[-1]

    def request(row: Planned) -> Request:
        return Request(id=row.key, messages=[], sampling=Sampling(), seed=0)

    monkeypatch.setattr(serving, "load_engine", load)
    with Model(JOB, "policy") as model:
        for _ in range(2):
            planned = (Planned(key=(str(index),), group=index, item=index) for index in range(5))
            rows = complete(model, planned, request, lambda row, done: done.text)
            assert list(rows) == ["ok"] * 5
            assert len(engines) == 1
    assert engines == []


def test_no_engine_is_started_for_rows_that_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> FailingEngine:
        raise AssertionError("an engine was started")

    monkeypatch.setattr(serving, "load_engine", refuse)
    planned = (Planned(key=(str(index),), group=index, item=index) for index in range(3))

    def request(row: Planned) -> Request | Completion:
        return Completion(id=row.key, error="no")

    rows = complete(Model(JOB, "policy"), planned, request, lambda row, done: done.error)
    assert list(rows) == ["no", "no", "no"]


def test_rows_that_need_no_model_don_t_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_engine(*_: object) -> object:
        raise AssertionError("no row needs it")

    monkeypatch.setattr(serving, "load_engine", no_engine)
    read = 0

    def planned() -> Iterator[Planned]:
        nonlocal read
        for read in range(5000):
            yield Planned(key=(str(read),), group=read, item=None)

    def request(row: Planned) -> Request | Completion:
        return Completion(id=row.key, error="image: broken")

    most = 0
    rows = complete(Model(JOB, "policy"), planned(), request, lambda row, done: row.key)
    for number, _ in enumerate(rows, 1):
        most = max(most, read + 1 - number)
    assert number == 5000
    assert most <= generation.MOST_SETTLED
