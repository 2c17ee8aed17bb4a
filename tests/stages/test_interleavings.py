"""What happens between two workers at the worst moment, and what a run must not cost."""

import os
import shutil
import threading
import time
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest

from data import tables
from data.records import Rollout, Verdict
from data.tables import metadata, reading, writing
from stages import joining, leases, shard, shard_writer
from stages.job import Job, Key, Outcome, Planned
from stages.leases import Holder, claim, holder_of
from stages.merging import merge
from stages.parts import parts_folder, read_done
from stages.shards import map_shards
from tests.reports import SilentReport
from tests.stages.test_shards import (
    ATTEMPTS,
    NUM_SHARDS,
    SAMPLES,
    content,
    grown,
    make_job,
    make_one,
    plan,
    plan_attempts,
    run,
    verdict,
)

ROWS = NUM_SHARDS * SAMPLES * ATTEMPTS


@pytest.fixture
def undisturbed(tmp_path: Path) -> list[list[dict[str, object]]]:
    run(make_job(tmp_path / "undisturbed"), lambda rows: map(verdict, rows))
    return content(tmp_path / "undisturbed")


def take_over(folder: Path, job: Job | None = None) -> Outcome:
    """Another worker believes the first to be dead, and makes the whole table."""
    for lease in folder.glob("verdicts/.parts/*/lease-*"):
        os.utime(lease, (1, 1))
    job = job or make_job(folder, worker="other")
    return run(job, lambda rows: map(verdict, rows))


def test_leases_are_kept_while_a_shard_is_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large shard takes longer to merge than a lease lives."""
    seconds = 0.8
    holders = []
    link = tables.link_into_place

    def slow_disk(temporary: Path, path: Path) -> bool:
        if path.name.startswith("part-00000"):
            time.sleep(2 * seconds)
            holders.append(holder_of(parts_folder(tmp_path / "verdicts", 1), seconds))
        return link(temporary, path)

    monkeypatch.setattr(writing, "link_into_place", slow_disk)

    def two_at_once(rows: Iterator[Planned]) -> Iterator[Verdict]:
        ahead = [next(rows) for _ in range(SAMPLES * ATTEMPTS + 1)]
        yield from map(verdict, chain(ahead, rows))

    assert run(make_job(tmp_path, lease_seconds=seconds), two_at_once).complete
    assert [holder is not None for holder in holders] == [True]


@pytest.mark.parametrize("has_parts", [True, False])
def test_a_late_shard_of_other_settings_throws_no_work_away(
    tmp_path: Path, has_parts: bool
) -> None:
    """A worker that froze before its link wakes up when the shard has been taken up to grow."""
    run(grown(tmp_path, 2), lambda rows: map(verdict, rows), plan_attempts(2))
    path = tables.shard_path(tmp_path / "verdicts", 0, NUM_SHARDS)
    shutil.copy(path, tmp_path / "late")
    if not has_parts:
        shutil.rmtree(tmp_path / "verdicts")
    fresh = 3 if has_parts else 5
    asked: list[Key] = []

    def more(rows: Iterator[Planned]) -> Iterator[Verdict]:
        for row in rows:
            asked.append(row.key)
            if len(asked) == SAMPLES * fresh:
                shutil.copy(tmp_path / "late", path)
            yield verdict(row)

    outcome = run(grown(tmp_path, 5), more, plan_attempts(5))
    assert (outcome.complete, outcome.rows) == (True, NUM_SHARDS * SAMPLES * 5)
    assert len(asked) == len(set(asked)) == NUM_SHARDS * SAMPLES * fresh


def test_parts_that_vanish_while_they_are_read(
    tmp_path: Path, undisturbed: list[list[dict[str, object]]]
) -> None:
    """The worker that we took a shard from finishes it after all, and cleans up under us."""
    make_one(tmp_path)
    made: list[Key] = []

    def remember(rows: Iterable[dict[str, Any]]) -> None:
        if not tables.shards(tmp_path / "verdicts"):
            assert take_over(tmp_path).complete
        list(rows)

    def execute(rows: Iterator[Planned]) -> Iterator[Verdict]:
        for row in rows:
            made.append(row.key)
            yield verdict(row)

    outcome = map_shards(
        make_job(tmp_path),
        record=Verdict,
        table="verdicts",
        count=NUM_SHARDS,
        plan=plan,
        execute=execute,
        total=0,
        remember=remember,
    )
    assert outcome.complete
    assert made == []
    assert content(tmp_path) == undisturbed


def test_parts_that_vanish_while_they_are_joined(
    tmp_path: Path,
    undisturbed: list[list[dict[str, object]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shard, "MOST_PARTS", 3)
    monkeypatch.setattr(shard_writer, "COMMIT_ROWS", 2)
    write = tables.stream_atomically
    written = []

    def watched(*arguments: Any) -> bool:
        done = write(*arguments)
        written.append(arguments[0])
        if len(written) == 3:
            monkeypatch.setattr(shard_writer, "COMMIT_ROWS", 1000)
            assert take_over(tmp_path).complete
        return done

    monkeypatch.setattr(tables, "stream_atomically", watched)
    assert run(make_job(tmp_path), lambda rows: map(verdict, rows)).complete
    assert content(tmp_path) == undisturbed
    assert not list(tmp_path.glob("verdicts/.parts/*"))


def test_who_finds_a_shard_done_leaves_its_holder_in_peace(tmp_path: Path) -> None:
    run(make_job(tmp_path), lambda rows: map(verdict, rows))
    folder = parts_folder(tmp_path / "verdicts", 0)
    lease = claim(folder, "somebody with --redo", 1000.0)
    assert lease is not None
    assert run(make_job(tmp_path), lambda rows: map(verdict, rows)).complete
    assert lease.is_held()
    lease.give_back()
    assert run(make_job(tmp_path), lambda rows: map(verdict, rows)).complete
    assert not folder.exists()


def test_a_shard_taken_up_while_the_table_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(make_job(tmp_path), lambda rows: map(verdict, rows))
    listed = tables.shards(tmp_path / "verdicts")
    listed[0].unlink()
    shards = tables.shards
    lists = iter([listed])
    monkeypatch.setattr(tables, "shards", lambda folder: next(lists, None) or shards(folder))
    assert run(make_job(tmp_path), lambda rows: map(verdict, rows)).complete


def test_a_finished_table_costs_one_look_per_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(make_job(tmp_path), lambda rows: map(verdict, rows))
    opened: list[Path] = []
    open_parquet = tables.open_parquet

    def counted(path: Path) -> Any:
        opened.append(path)
        return open_parquet(path)

    for module in (tables, metadata, reading):
        monkeypatch.setattr(module, "open_parquet", counted)
    assert run(make_job(tmp_path), lambda rows: map(verdict, rows)).rows == ROWS
    assert len(opened) == NUM_SHARDS


def test_an_engine_that_loses_rows_is_not_asked_for_ever(tmp_path: Path) -> None:
    deadline = time.monotonic() + 2
    job = make_job(tmp_path, should_stop=lambda: time.monotonic() > deadline)
    with pytest.raises(RuntimeError, match="none came"):
        run(job, lambda rows: (verdict(row) for row in rows if row.item != 7))


def test_a_takeover_of_a_shard_with_too_few_rows_is_noticed(tmp_path: Path) -> None:
    """A part is deleted by hand: the shard is not finished without its rows."""

    def execute(rows: Iterator[Planned]) -> Iterator[Verdict]:
        for number, row in enumerate(rows):
            if number == SAMPLES * ATTEMPTS - 1:
                for part in tmp_path.glob("verdicts/.parts/00000/*.parquet"):
                    part.unlink()
            yield verdict(row)

    make_one(tmp_path)
    with pytest.raises(Exception, match="40 were made"):
        run(make_job(tmp_path), execute)
    assert not tables.shards(tmp_path / "verdicts")
    assert run(make_job(tmp_path), lambda rows: map(verdict, rows)).rows == ROWS


def rollout_job(folder: Path, limit: int, **rest: Any) -> Job:
    metadata = tables.Metadata(
        stage="reason", digest=f"d{limit}", root="d", growing={"reason.max_tokens": limit}
    )
    return replace(make_job(folder), metadata=metadata, report=SilentReport(), **rest)


def rollout(row: Planned, tokens: int, reason: str = "length") -> Rollout:
    sample_id, caption, index = row.key
    return Rollout(
        sample_id=sample_id,
        caption_index=caption,
        rollout_index=index,
        num_tokens=tokens,
        token_ids=list(range(1000, 1000 + tokens)),
        finish_reason=reason,
    )


def run_rollouts(job: Job, execute: Any) -> Outcome:
    return map_shards(
        job, record=Rollout, table="rollouts", count=1, plan=plan, execute=execute, total=0
    )


def test_rows_cut_off_by_the_old_limit_after_the_redo_began_are_made_again(tmp_path: Path) -> None:
    later = rollout_job(tmp_path, 20, redo="length")
    time.sleep(0.01)
    made: list[None] = []

    def some(rows: Iterator[Planned]) -> Iterator[Rollout]:
        for row in rows:
            if len(made) == 10:
                return
            made.append(None)
            yield rollout(row, 10)

    first = rollout_job(tmp_path, 10, should_stop=lambda: len(made) >= 10)
    assert not run_rollouts(first, some).complete
    assert run_rollouts(later, lambda rows: (rollout(row, 20) for row in rows)).complete
    path = tables.shard_path(tmp_path / "rollouts", 0, 1)
    assert {row["num_tokens"] for row in tables.read_rows(path, Rollout)} == {20}


def test_only_the_prefixes_that_are_needed_are_held(tmp_path: Path) -> None:
    """Rows that were cut off stay as they are; one was stopped."""
    planned = list(plan(0))
    rows = [rollout(row, 8000) for row in planned[1:]]
    rows.insert(0, rollout(planned[0], 500, "unfinished"))
    part = tmp_path / "part.parquet"
    job = rollout_job(tmp_path, 8000)
    tables.write_atomically(part, tables.to_table(rows, Rollout), job.metadata)
    tracemalloc.start()
    done = read_done(job, Rollout, [part])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert list(done.prefixes) == [planned[0].key]
    assert len(done.keys) == len(planned) - 1
    assert peak < 2**21


def test_long_rows_are_merged_few_at_a_time(tmp_path: Path) -> None:
    planned = [Planned(key=(f"{i:04}", 0, 0), group=0, item=0) for i in range(1500)]
    rows = [rollout(row, 20_000) for row in planned]
    part = tmp_path / "part.parquet"
    tables.write_atomically(part, tables.to_table(rows, Rollout), make_job(tmp_path).metadata)
    position = {row.key: number for number, row in enumerate(planned)}
    sizes = [piece.nbytes for piece in merge([part], Rollout, position)]
    assert sum(sizes) > 2**26
    assert max(sizes) < 1.1 * 2**26


def test_parts_of_many_attempts_are_not_all_open_at_once(
    tmp_path: Path, undisturbed: list[list[dict[str, object]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard, "MOST_PARTS", 2)
    table = tmp_path / "verdicts"
    for number, row in enumerate(list(plan(0))[:30]):
        part = parts_folder(table, 0) / f"{number:032x}.parquet"
        metadata = replace(make_job(tmp_path).metadata, num_rows=1, finished_at=time.time())
        tables.write_atomically(part, tables.to_table([verdict(row)], Verdict), metadata)
    widths: list[int] = []

    def counted(parts: Sequence[Path], *rest: Any) -> Iterator[pa.Table]:
        widths.append(len(parts))
        return merge(parts, *rest)

    monkeypatch.setattr(joining, "merge", counted)
    assert run(make_job(tmp_path), lambda rows: map(verdict, rows)).complete
    assert content(tmp_path) == undisturbed
    assert max(widths) <= 4 * 2 + 1
    assert not list(tmp_path.glob("verdicts/.parts/*"))


def test_a_lease_that_was_linked_though_the_server_says_it_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS: the answer to the first request is lost, and the second one finds the link there."""
    link = os.link

    def twice(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(leases.os, "link", twice)
    lease = claim(tmp_path, "a", 1000.0)
    assert lease is not None and lease.is_held()


def test_setting_the_clock_kills_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    holder = Holder.ours("a")
    boot_time = psutil._pslinux.boot_time  # type: ignore[attr-defined]
    monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: boot_time() + 3.0)
    monkeypatch.setattr(psutil._pslinux, "BOOT_TIME", boot_time() + 3.0, raising=False)
    assert not holder.is_known_dead()


def test_a_lease_is_not_touched_after_it_was_given_back(tmp_path: Path) -> None:
    """Else nobody would take its shard until it ran out."""
    for _ in range(20):
        made: list[None] = []
        job = make_job(tmp_path, lease_seconds=0.01, should_stop=lambda made=made: bool(made))

        def one(rows: Iterator[Planned], made: list[None] = made) -> Iterator[Verdict]:
            yield verdict(next(rows))
            time.sleep(0.01)
            made.append(None)

        run(job, one)
        for folder in tmp_path.glob("verdicts/.parts/*"):
            assert holder_of(folder, 1000.0) is None


def test_a_failure_to_commit_reaches_the_stage_and_frees_the_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def full(*arguments: Any) -> bool:
        failed.set()
        raise OSError(28, "No space left on device")

    def execute(rows: Iterator[Planned]) -> Iterator[Verdict]:
        yield verdict(next(rows))
        assert failed.wait(10)
        yield verdict(next(rows))

    with monkeypatch.context() as patched:
        patched.setattr(tables, "stream_atomically", full)
        with pytest.raises(OSError, match="No space left"):
            run(make_job(tmp_path, commit_seconds=0.05), execute)
    assert holder_of(parts_folder(tmp_path / "verdicts", 0), 1000.0) is None
    assert run(make_job(tmp_path), lambda rows: map(verdict, rows)).rows == ROWS
