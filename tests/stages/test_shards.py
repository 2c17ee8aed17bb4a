"""The shard runner: every key once, in order, whatever happened on the way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from data import tables
from data.errors import RefusedError
from data.records import Verdict
from stages import shard_writer
from stages.job import Job, Outcome, Planned
from stages.shards import map_shards
from tests.reports import SilentReport

NUM_SHARDS, SAMPLES, ATTEMPTS = 3, 10, 4


def make_job(folder: Path, digest: str = "d", **rest: object) -> Job:
    metadata = tables.Metadata(stage="verify", digest=digest, settings={"a.b": digest})
    return Job(
        stage="verify",
        run_dir=folder,
        seed=0,
        models={},
        metadata=metadata,
        report=SilentReport(),
        **rest,  # type: ignore[arg-type]
    )


def plan(index: int) -> Iterator[Planned]:
    for position in range(SAMPLES * ATTEMPTS):
        sample, attempt = divmod(position, ATTEMPTS)
        key = (f"s{index}-{sample:02}", 0, attempt)
        yield Planned(key=key, group=position // 6, item=position)


def verdict(row: Planned) -> Verdict:
    sample_id, caption, rollout = row.key
    return Verdict(
        sample_id=sample_id,
        caption_index=caption,
        rollout_index=rollout,
        status="correct",
        extracted_answer=f"{row.item} in group {row.group}",
    )


def run(job: Job, execute: object, make_plan: object = plan) -> Outcome:
    return map_shards(
        job,
        record=Verdict,
        table="verdicts",
        count=NUM_SHARDS,
        plan=make_plan,  # type: ignore[arg-type]
        execute=execute,  # type: ignore[arg-type]
        total=NUM_SHARDS * SAMPLES * ATTEMPTS,
    )


def content(folder: Path) -> list[list[dict[str, object]]]:
    return [list(tables.read_rows(path, Verdict)) for path in tables.shards(folder / "verdicts")]


def backwards(rows: Iterator[Planned]) -> Iterator[Verdict]:
    """Finish in another order than asked."""
    window: list[Planned] = []
    for row in rows:
        window.append(row)
        if len(window) == 7:
            yield from map(verdict, reversed(window))
            window.clear()
    yield from map(verdict, reversed(window))


@pytest.fixture
def undisturbed(tmp_path: Path) -> list[list[dict[str, object]]]:
    outcome = run(make_job(tmp_path / "undisturbed"), lambda rows: map(verdict, rows))
    assert (outcome.complete, outcome.rows) == (True, NUM_SHARDS * SAMPLES * ATTEMPTS)
    return content(tmp_path / "undisturbed")


def test_order_of_completion_does_not_show(
    tmp_path: Path, undisturbed: list[list[dict[str, object]]]
) -> None:
    run(make_job(tmp_path), backwards)
    assert content(tmp_path) == undisturbed
    assert [row["sample_id"] for row in undisturbed[0]] == sorted(
        row["sample_id"] for row in undisturbed[0]
    )


def test_stop_commits_and_a_second_attempt_finishes(
    tmp_path: Path, undisturbed: list[list[dict[str, object]]]
) -> None:
    seen: list[object] = []

    def some(rows: Iterator[Planned]) -> Iterator[Verdict]:
        for row in rows:
            if len(seen) == 50:
                return
            seen.append(row.key)
            yield verdict(row)

    job = make_job(tmp_path, should_stop=lambda: len(seen) >= 50)
    assert not run(job, some).complete
    assert len(tables.shards(tmp_path / "verdicts")) == 1
    asked: list[object] = []

    def rest(rows: Iterator[Planned]) -> Iterator[Verdict]:
        for row in rows:
            asked.append(row.key)
            yield verdict(row)

    assert run(make_job(tmp_path), rest).complete
    assert content(tmp_path) == undisturbed
    total = NUM_SHARDS * SAMPLES * ATTEMPTS
    assert total - 50 <= len(asked) < total - 50 + 6, "only rows of unfinished groups again"
    assert not list(tmp_path.glob("verdicts/.parts/*/*"))


def test_two_workers_at_once_do_no_harm(
    tmp_path: Path,
    undisturbed: list[list[dict[str, object]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(rows: Iterator[Planned]) -> Iterator[Verdict]:
        for number, row in enumerate(rows):
            if number == 25:  # after parts were committed, another worker does the whole table
                assert list(tmp_path.glob("verdicts/.parts/*/*.parquet"))
                assert run(make_job(tmp_path), lambda rows: map(verdict, rows)).complete
            yield verdict(row)

    monkeypatch.setattr(shard_writer, "COMMIT_ROWS", 5)
    assert run(make_job(tmp_path), interrupted).complete
    assert content(tmp_path) == undisturbed


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    run(make_job(tmp_path), lambda rows: map(verdict, rows))
    with pytest.raises(RefusedError, match=r"a\.b = 'd', now 'e'"):
        run(make_job(tmp_path, digest="e"), lambda rows: map(verdict, rows))


def test_other_settings_are_refused_while_under_way_too(tmp_path: Path) -> None:
    def one(rows: Iterator[Planned]) -> Iterator[Verdict]:
        yield verdict(next(rows))

    run(make_job(tmp_path), one)
    with pytest.raises(RefusedError):
        run(make_job(tmp_path, digest="e"), lambda rows: map(verdict, rows))


SLOW_WORKER = """
import sys, time
from pathlib import Path
from stages import shard_writer
from tests.stages.test_shards import make_job, run, verdict
shard_writer.COMMIT_ROWS = 5
def slowly(rows):
    for row in rows:
        time.sleep(0.01)
        yield verdict(row)
run(make_job(Path(sys.argv[1])), slowly)
"""


def test_killed_at_any_moment_the_table_comes_out_the_same(
    tmp_path: Path, undisturbed: list[list[dict[str, object]]]
) -> None:
    kills = 0
    for attempt in range(12):
        worker = subprocess.Popen([sys.executable, "-c", SLOW_WORKER, str(tmp_path)])
        folder = tmp_path / "verdicts"
        before = set(folder.rglob("*.parquet"))
        deadline = time.monotonic() + 60
        while set(folder.rglob("*.parquet")) == before and worker.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(0.017 * attempt)
        if worker.poll() is None:
            os.kill(worker.pid, signal.SIGKILL)
            kills += 1
        worker.wait()
    assert kills > 3
    assert run(make_job(tmp_path), lambda rows: map(verdict, rows)).complete
    assert content(tmp_path) == undisturbed


def test_rows_are_on_disk_in_time_whatever_the_engine_waits_for(tmp_path: Path) -> None:
    def waits(rows: Iterator[Planned]) -> Iterator[Verdict]:
        yield verdict(next(rows))
        deadline = time.monotonic() + 20
        while not list(tmp_path.glob("verdicts/.parts/*/*.parquet")):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    run(make_job(tmp_path, commit_seconds=0.1), waits)


def test_a_failing_engine_costs_nothing_that_was_done(tmp_path: Path) -> None:
    def fails(rows: Iterator[Planned]) -> Iterator[Verdict]:
        yield verdict(next(rows))
        raise RuntimeError("engine")

    with pytest.raises(RuntimeError):
        run(make_job(tmp_path), fails)
    assert len(list(tmp_path.glob("verdicts/.parts/*/*.parquet"))) == 1


def test_an_empty_shard_is_a_shard(tmp_path: Path) -> None:
    outcome = run(make_job(tmp_path), lambda rows: map(verdict, rows), lambda index: iter(()))
    assert (outcome.complete, outcome.rows) == (True, 0)


def test_times_of_shards_add_up(tmp_path: Path) -> None:
    def slowly(rows: Iterator[Planned]) -> Iterator[Verdict]:
        for row in rows:
            time.sleep(0.002)
            yield verdict(row)

    started = time.monotonic()
    run(make_job(tmp_path), slowly)
    elapsed = time.monotonic() - started
    metadata = [tables.read_metadata(path) for path in tables.shards(tmp_path / "verdicts")]
    total = sum(found.seconds for found in metadata if found)
    assert 0.5 * elapsed < total <= elapsed
