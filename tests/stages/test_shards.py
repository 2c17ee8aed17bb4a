"""The shard runner: every key once, in order, whatever happened on the way."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from data import tables
from data.errors import RefusedError
from data.records import Caption, Rollout, Verdict
from stages import shard, shard_writer
from stages.budget import Budget
from stages.engines import Prefix
from stages.job import Job, Key, Outcome, Planned
from stages.remade import Inputs
from stages.shards import map_shards
from tests.reports import SilentReport

NUM_SHARDS, SAMPLES, ATTEMPTS = 3, 10, 4


def make_job(folder: Path, digest: str = "d", report: Any = None, **rest: object) -> Job:
    metadata = tables.Metadata(stage="verify", digest=digest, root=digest, settings={"a.b": digest})
    return Job(
        stage="verify",
        run_dir=folder,
        seed=0,
        models={},
        metadata=metadata,
        report=report or SilentReport(),
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


def run(
    job: Job, execute: object, make_plan: object = plan, *, inputs: Sequence[str] = ()
) -> Outcome:
    return map_shards(
        job,
        record=Verdict,
        table="verdicts",
        count=NUM_SHARDS,
        plan=make_plan,  # type: ignore[arg-type]
        execute=execute,  # type: ignore[arg-type]
        total=NUM_SHARDS * SAMPLES * ATTEMPTS,
        inputs=inputs,
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


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    run(make_job(tmp_path), lambda rows: map(verdict, rows))
    with pytest.raises(RefusedError, match=r"a\.b = 'd', now 'e'"):
        run(make_job(tmp_path, digest="e"), lambda rows: map(verdict, rows))


def make_one(folder: Path) -> None:
    """A first attempt that is stopped after one row."""
    made: list[Planned] = []

    def one(rows: Iterator[Planned]) -> Iterator[Verdict]:
        made.append(next(rows))
        yield verdict(made[0])

    run(make_job(folder, should_stop=lambda: bool(made)), one)


def test_other_settings_are_refused_while_under_way_too(tmp_path: Path) -> None:
    make_one(tmp_path)
    with pytest.raises(RefusedError):
        run(make_job(tmp_path, digest="e"), lambda rows: map(verdict, rows))


SLOW_WORKER = """
import sys, time
from pathlib import Path
from stages import shard, shard_writer
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
    waited = False

    def waits(rows: Iterator[Planned]) -> Iterator[Verdict]:
        nonlocal waited
        yield verdict(next(rows))
        deadline = time.monotonic() + 20
        while not list(tmp_path.glob("verdicts/.parts/*/*.parquet")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        waited = True

    run(make_job(tmp_path, commit_seconds=0.1, should_stop=lambda: waited), waits)


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


def grown(folder: Path, number: int, **rest: object) -> Job:
    """A job whose table has `number` attempts for each sample."""
    metadata = tables.Metadata(
        stage="verify", digest=f"d{number}", root="d", growing={"verify.attempts": number}
    )
    return replace(make_job(folder, **rest), metadata=metadata)


def plan_attempts(number: int) -> Callable[[int], Iterator[Planned]]:
    def plan(index: int) -> Iterator[Planned]:
        for sample in range(SAMPLES):
            for attempt in range(number):
                key = (f"s{index}-{sample:02}", 0, attempt)
                yield Planned(key=key, group=key, item=key)

    return plan


def test_raising_a_number_adds_rows_and_keeps_the_rest(tmp_path: Path) -> None:
    run(grown(tmp_path, 2), lambda rows: map(verdict, rows), plan_attempts(2))
    before = [row for shard in content(tmp_path) for row in shard]
    asked: list[tuple[object, ...]] = []

    def some_more(rows: Iterator[Planned]) -> Iterator[Verdict]:
        for row in rows:
            asked.append(row.key)
            yield verdict(row)

    stopped = grown(tmp_path, 5, should_stop=lambda: len(asked) >= 7)
    assert not run(stopped, some_more, plan_attempts(5)).complete
    assert run(grown(tmp_path, 5), some_more, plan_attempts(5)).complete
    assert {attempt for _, _, attempt in asked} == {2, 3, 4}
    assert len(asked) == NUM_SHARDS * SAMPLES * 3
    after = [row for shard in content(tmp_path) for row in shard]
    assert [row for row in after if row["rollout_index"] < 2] == before
    keys = [(row["sample_id"], row["rollout_index"]) for row in after]
    assert keys == sorted(set(keys))
    assert len(keys) == NUM_SHARDS * SAMPLES * 5
    with pytest.raises(RefusedError, match=r"verify.attempts = 5, now 4"):
        run(grown(tmp_path, 4), some_more, plan_attempts(4))


def test_a_raised_limit_needs_a_word(tmp_path: Path) -> None:
    def job(number: int, **rest: object) -> Job:
        metadata = replace(grown(tmp_path, number).metadata, growing={"a.max_tokens": number})
        return replace(grown(tmp_path, number), metadata=metadata, **rest)  # type: ignore[arg-type]

    run(job(10), lambda rows: map(verdict, rows))
    with pytest.raises(RefusedError) as refused:
        run(job(20), lambda rows: map(verdict, rows))
    assert "--redo length" in refused.value.remedy
    assert run(job(20, redo="length"), lambda rows: map(verdict, rows)).complete


def test_redo_makes_failed_rows_again_and_only_those(tmp_path: Path) -> None:
    def some_fail(rows: Iterator[Planned]) -> Iterator[Verdict]:
        for row in rows:
            made = verdict(row)
            yield replace(made, status="error") if row.item % 7 == 3 else made

    first = run(make_job(tmp_path), some_fail)
    digest = tables.table_digest(tmp_path / "verdicts")
    assert first.errors == 3 * 6
    asked: set[tuple[object, ...]] = set()

    def again(rows: Iterator[Planned]) -> Iterator[Verdict]:
        for row in rows:
            asked.add(row.key)
            yield verdict(row)

    outcome = run(make_job(tmp_path, redo="errors"), again)
    assert (outcome.complete, outcome.errors) == (True, 0)
    groups = {row.group for row in plan(0) if row.item % 7 == 3}
    expected = {
        row.key for index in range(NUM_SHARDS) for row in plan(index) if row.group in groups
    }
    assert asked == expected
    fresh = make_job(tmp_path / "fresh")
    run(fresh, lambda rows: map(verdict, rows))
    assert content(tmp_path) == content(tmp_path / "fresh")
    assert tables.table_digest(tmp_path / "verdicts") != digest, "what was made from it is stale"
    asked.clear()
    assert run(make_job(tmp_path, redo="errors"), again).complete
    assert asked == set()


def test_a_redo_that_fails_again_ends(tmp_path: Path) -> None:
    def all_fail(rows: Iterator[Planned]) -> Iterator[Verdict]:
        return (replace(verdict(row), status="error") for row in rows)

    run(make_job(tmp_path), all_fail)
    outcome = run(make_job(tmp_path, redo="errors"), all_fail)
    assert (outcome.complete, outcome.errors) == (True, outcome.rows)


def test_what_was_made_from_rows_made_again_is_made_again(tmp_path: Path) -> None:
    """And only that, though the attempt at it is stopped and its parts are joined."""
    captions = tmp_path / "captions"

    def write(remade: dict[str, list[list[object]]]) -> None:
        path = tables.shard_path(captions, 0, 1)
        path.unlink(missing_ok=True)
        metadata = tables.Metadata(stage="caption", digest="c", root="c", remade=remade)
        tables.write_atomically(path, tables.to_table([], Caption), metadata)

    def attempt(digest: str, text: str, stop_after: int = 1000) -> tuple[Outcome, set[Key]]:
        asked: list[Key] = []

        def execute(rows: Iterator[Planned]) -> Iterator[Rollout]:
            for row in islice(rows, stop_after):
                asked.append(row.key)
                assert row.prefix is None, "of another caption"
                sample_id, caption, index = row.key
                yield Rollout(
                    sample_id=sample_id,
                    caption_index=caption,
                    rollout_index=index,
                    text=text,
                    finish_reason="stop",
                    num_tokens=len(text),
                )

        metadata = tables.Metadata(
            stage="reason", digest=digest, root="d", mended_inputs={"captions": 0}
        )
        job = make_job(tmp_path, should_stop=lambda: len(asked) >= stop_after)
        outcome = map_shards(
            replace(job, metadata=metadata),
            record=Rollout,
            table="rollouts",
            count=1,
            plan=lambda index: (replace(row, group=row.key) for row in plan(index)),
            execute=execute,
            total=0,
            inputs=("captions",),
        )
        return outcome, set(asked)

    write({})
    everything = attempt("d0", "a long first one")[1]
    again: list[list[object]] = [["s0-03", 0], ["s0-07", 0]]
    write({"1": again})
    expected = {key for key in everything if list(key[:2]) in again}
    outcome, first = attempt("d1", "second", stop_after=3)
    assert not outcome.complete and first < expected
    outcome, second = attempt("d1", "third")
    assert outcome.complete and first | second == expected and not first & second
    path = tables.shard_path(tmp_path / "rollouts", 0, 1)
    texts = {(*row,): text for *row, text in rollout_texts(path)}
    assert {key for key, text in texts.items() if text != "a long first one"} == expected
    metadata = tables.read_metadata(path)
    assert metadata is not None and metadata.made_from == {"captions": 1}
    remade = {tuple(key) for keys in metadata.remade.values() for key in keys}
    assert remade == expected, "for those who read this table"
    assert attempt("d1", "fourth")[1] == set()
    write({"1": again, "2": [["s0-00", 0]]})
    assert {key[0] for key in attempt("d2", "fifth")[1]} == {"s0-00"}


@pytest.mark.parametrize("prune", ["off", "exact"])
def test_pruned_rollouts_were_given_up_for_the_sake_of_the_samples_others(
    tmp_path: Path, prune: str
) -> None:
    path = tables.shard_path(tmp_path / "captions", 0, 1)
    captions = tables.Metadata(stage="caption", digest="c", remade={"1": [["s0", 3]]})
    tables.write_atomically(path, tables.to_table([], Caption), captions)
    metadata = tables.Metadata(
        stage="reason", digest="d", settings={"reason.prune": prune}, mended_inputs={"captions": 0}
    )
    job = replace(make_job(tmp_path), metadata=metadata)
    outdated = Inputs.of(job, ["captions"], 0, 1).outdated(metadata)
    assert ("s0", 3, 0) in outdated and ("s1", 3, 0) not in outdated
    assert (("s0", 4, 0) in outdated) == (prune == "exact")
    assert not Inputs.of(job, ["captions"], 0, 1).outdated(
        replace(metadata, made_from={"captions": 1})
    )


def rollout_texts(path: Path) -> Iterator[tuple[object, ...]]:
    names = ("sample_id", "caption_index", "rollout_index", "text")
    return (tuple(row[name] for name in names) for row in tables.read_rows(path, Rollout, names))


def test_what_was_under_way_is_handed_to_the_next_attempt(tmp_path: Path) -> None:
    def rollout(row: Planned, **rest: object) -> Rollout:
        sample_id, caption, index = row.key
        return Rollout(
            sample_id=sample_id,
            caption_index=caption,
            rollout_index=index,
            **rest,  # type: ignore[arg-type]
        )

    def half_done(rows: Iterator[Planned]) -> Iterator[Rollout]:
        for number, row in enumerate(islice(rows, 10)):
            if number % 2:
                yield rollout(row, text="done", finish_reason="stop", num_tokens=2)
            else:
                tokens = list(range(number + 1))
                yield rollout(
                    row,
                    finish_reason="unfinished",
                    token_ids=tokens,
                    num_tokens=len(tokens),
                    logprob=-1.5,
                )
        seen.append(None)

    def finish(rows: Iterator[Planned]) -> Iterator[Rollout]:
        for row in rows:
            if row.prefix is not None:
                prefixes[row.key] = row.prefix
            yield rollout(row, text="done", finish_reason="stop")

    seen: list[None] = []
    prefixes: dict[Key, Prefix] = {}
    options: dict[str, Any] = {
        "record": Rollout,
        "table": "rollouts",
        "count": NUM_SHARDS,
        "plan": plan,
        "total": 0,
    }
    stopped = make_job(tmp_path, should_stop=lambda: bool(seen))
    assert not map_shards(stopped, execute=half_done, **options).complete
    outcome = map_shards(make_job(tmp_path), execute=finish, **options)
    assert (outcome.complete, outcome.rows) == (True, NUM_SHARDS * SAMPLES * ATTEMPTS)
    keys = [row.key for row in plan(0)][:10:2]
    assert list(prefixes) == keys
    assert [len(prefixes[key].token_ids) for key in keys] == [1, 3, 5, 7, 9]
    assert {prefix.logprob for prefix in prefixes.values()} == {-1.5}
    reasons = {
        row["finish_reason"]
        for path in tables.shards(tmp_path / "rollouts")
        for row in tables.read_rows(path, Rollout)
    }
    assert reasons == {"stop"}


def test_a_frozen_worker_that_wakes_up_does_no_harm(
    tmp_path: Path, undisturbed: list[list[dict[str, object]]]
) -> None:
    """Another worker takes over and finishes; then the first goes on as if nothing had been."""

    def interrupted(rows: Iterator[Planned]) -> Iterator[Verdict]:
        for number, row in enumerate(rows):
            if number == 25:
                for lease in tmp_path.glob("verdicts/.parts/*/lease-*"):
                    os.utime(lease, (1, 1))
                other = make_job(tmp_path, worker="other")
                assert run(other, lambda rows: map(verdict, rows)).complete
            yield verdict(row)

    job = make_job(tmp_path, lease_seconds=20.0)
    assert run(job, interrupted).complete
    assert content(tmp_path) == undisturbed
    assert not [path for path in tmp_path.rglob("*") if ".parts/" in str(path)]


def test_two_workers_share_the_shards(
    tmp_path: Path, undisturbed: list[list[dict[str, object]]]
) -> None:
    made: dict[str, set[str]] = {"a": set(), "b": set()}

    def worker(name: str) -> None:
        def execute(rows: Iterator[Planned]) -> Iterator[Verdict]:
            for row in rows:
                made[name].add(row.key[0])
                time.sleep(0.005)
                yield verdict(row)

        assert run(make_job(tmp_path, worker=name), execute).complete

    threads = [threading.Thread(target=worker, args=(name,)) for name in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made["a"] and made["b"]
    assert not made["a"] & made["b"]
    assert content(tmp_path) == undisturbed


def test_many_parts_become_few(
    tmp_path: Path,
    undisturbed: list[list[dict[str, object]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shard_writer, "COMMIT_ROWS", 1)
    monkeypatch.setattr(shard, "MOST_PARTS", 4)
    most = 0

    def watched(rows: Iterator[Planned]) -> Iterator[Verdict]:
        nonlocal most
        for row in backwards(rows):
            most = max(most, len(list(tmp_path.glob("verdicts/.parts/00001/*.parquet"))))
            yield row

    assert run(make_job(tmp_path), watched).complete
    assert 1 < most <= 3 * 3 + 1
    assert content(tmp_path) == undisturbed


def test_a_follower_waits_for_its_input(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    source = tmp_path / "rollouts"

    def feed() -> None:
        for index in range(NUM_SHARDS):
            time.sleep(0.3)
            path = tables.shard_path(source, index, NUM_SHARDS)
            tables.write_atomically(path, tables.to_table([], Rollout), job.metadata)

    feeder = threading.Thread(target=feed)
    feeder.start()
    outcome = run(job, lambda rows: map(verdict, rows), inputs=("rollouts",))
    feeder.join()
    assert outcome.complete


def test_a_follower_says_what_it_waits_for(tmp_path: Path) -> None:
    """Rollouts that are to become more, which nobody may be at."""
    notes: list[str] = []

    class Report(SilentReport):
        def note(self, text: str) -> None:
            notes.append(text)

    there, wanted = (
        tables.Metadata(
            stage="reason",
            digest=str(number),
            root="r",
            growing={"reason.num_rollouts": number},
            settings={"reason.num_rollouts": number},
        )
        for number in (4, 8)
    )
    for index in range(NUM_SHARDS):
        path = tables.shard_path(tmp_path / "rollouts", index, NUM_SHARDS)
        tables.write_atomically(path, tables.to_table([], Rollout), there)
    job = make_job(
        tmp_path,
        report=Report(),
        inputs={"rollouts": wanted},
        follow=True,
        should_stop=lambda: bool(notes),
    )
    outcome = run(job, lambda rows: map(verdict, rows), inputs=("rollouts",))
    assert not outcome.complete
    assert notes[0].endswith("rollouts are to grow: reason.num_rollouts = 4, now 8")


def test_a_budget_that_is_nearly_spent_begins_nothing(tmp_path: Path) -> None:
    budget = Budget(100.0)
    budget.note(200.0)
    outcome = run(make_job(tmp_path, budget=budget), lambda rows: map(verdict, rows))
    assert (outcome.complete, outcome.rows) == (False, 0)
