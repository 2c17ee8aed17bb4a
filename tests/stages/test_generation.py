"""Planned rows through an engine: groups, rows that can't be asked, engines that fail."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import ClassVar

import pytest

from data import tables
from data.errors import EngineError
from stages import generation, serving
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


def answer(monkeypatch: pytest.MonkeyPatch, failures: list[int]) -> list[tuple[object, str | None]]:
    monkeypatch.setattr(FailingEngine, "answers_before_failure", failures)
    monkeypatch.setattr(serving, "load_engine", lambda *_: FailingEngine())
    planned = (Planned(key=(str(index),), group=index, item=index) for index in range(20))

    def request(row: Planned) -> Request | Completion:
        if row.item % 5 == 4:
            return Completion(id=row.key, error="image: broken")
        return Request(id=row.key, messages=[], sampling=Sampling(), seed=0)

    return list(
        complete(Model(JOB, "policy"), planned, request, lambda row, done: (row.item, done.error))
    )


def test_every_row_is_answered_once_though_the_engine_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = answer(monkeypatch, [2, 1, 5, 1, 100])
    assert sorted(found) == [
        (index, "image: broken" if index % 5 == 4 else None) for index in range(20)
    ]


def test_an_engine_that_fails_repeatedly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match="gone"):
        answer(monkeypatch, [4, 0, 0, 100])


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
