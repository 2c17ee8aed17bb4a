"""The reason stage with pruning: the same trajectories, stopped and resumed, from fewer tokens."""

from dataclasses import replace
from pathlib import Path

import pytest

from data import tables
from data.errors import ConfigError
from data.records import Reward, Rollout, Verdict
from stages import serving
from stages.engines import ModelConfig
from tests.performance.pruning import (
    BORROWED,
    SimulatedEngine,
    World,
    count_tokens,
    make_job,
    make_world,
    select,
    write_inputs,
    write_rollouts,
)


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated ones take the place of real ones for one test."""
    monkeypatch.setattr(serving, "load_engine", serving.load_engine)


def rows_of(run_dir: Path, table: str, record: type) -> dict[tuple[object, ...], dict[str, object]]:
    return {
        (row["sample_id"], row["caption_index"], row["rollout_index"]): row
        for path in tables.shards(run_dir / table)
        for row in tables.read_rows(path, record)
    }


def write_all(run_dir: Path, world: World, **settings: object) -> set[tuple[object, ...]]:
    write_inputs(run_dir, world)
    assert write_rollouts(run_dir, SimulatedEngine(world, 32), **settings).complete
    return select(run_dir)


def test_stopped_and_resumed_the_selection_is_the_same(tmp_path: Path) -> None:
    world = make_world(seed=1, num_samples=12)
    expected = write_all(tmp_path / "off", world)
    run_dir = tmp_path / "exact"
    write_inputs(run_dir, world)
    attempts, complete = 0, False
    while not complete:
        attempts += 1
        engine = SimulatedEngine(world, 32)
        # Rollouts begin anew in each attempt: the next one has to get further.
        ended = iter([False] * 4000 * attempts)
        job = make_job("reason", run_dir, should_stop=lambda ended=ended: next(ended, True))
        complete = write_rollouts(run_dir, engine, job, prune="exact").complete
    assert attempts > 2
    assert select(run_dir) == expected != set()
    assert count_tokens(run_dir) < 0.8 * count_tokens(tmp_path / "off")
    rollouts = rows_of(run_dir, "rollouts", Rollout)
    verdicts, rewards = rows_of(run_dir, "verdicts", Verdict), rows_of(run_dir, "rewards", Reward)
    assert rollouts.keys() == world.keys()
    pruned = [key for key, row in rollouts.items() if row["finish_reason"] == "pruned"]
    assert len(pruned) > 100
    for key in pruned:
        assert (rollouts[key]["text"], rollouts[key]["error"]) == (None, None)
        verdict = verdicts[key]
        assert (verdict["status"], verdict["outcome_reward"]) == ("unverifiable", None)
        assert rewards[key]["reason"] in (
            "pruned; caption settled above alpha",
            "pruned; caption settled below alpha",
        )


def test_on_policy_rollouts_are_pruned_alike(tmp_path: Path) -> None:
    world = {key: row for key, row in make_world(seed=2, num_samples=60).items() if key[1] == 0}
    expected = write_all(tmp_path / "off", world, behavior="image")
    assert (
        write_all(tmp_path / "exact", world, behavior="image", prune="exact") == expected != set()
    )
    assert count_tokens(tmp_path / "exact") < 0.8 * count_tokens(tmp_path / "off")


def test_what_was_settled_before_a_restart_stays_settled(tmp_path: Path) -> None:
    world = dict.fromkeys(make_world(seed=0, num_samples=4), (100, False))
    write_inputs(tmp_path, world)
    first = SimulatedEngine(world, 4)
    job = make_job("reason", tmp_path, should_stop=lambda: len(first.groups) > 56)
    assert not write_rollouts(tmp_path, first, job, prune="exact").complete
    again = SimulatedEngine(world, 4)
    assert write_rollouts(tmp_path, again, prune="exact").complete
    # Two wrong rollouts settle a caption; the first shard's 16 captions had them.
    assert {key[0] for key in again.groups} <= {"sample-001", "sample-003"}


def test_batches_are_those_of_a_run_without_pruning(tmp_path: Path) -> None:
    world = make_world(seed=3, num_samples=8)
    engines = {prune: SimulatedEngine(world, 16) for prune in ("off", "exact")}
    model = ModelConfig(path="simulated", engine="transformers", batch_size=4)
    for prune, engine in engines.items():
        write_inputs(tmp_path / prune, world)
        job = make_job("reason", tmp_path / prune, models={"reasoner": model})
        outcome = write_rollouts(tmp_path / prune, engine, job, prune=prune)
    assert outcome.figures["pruning"]["rollouts_pruned"] > 100
    assert engines["off"].groups == engines["exact"].groups
    assert engines["off"].groups.keys() == world.keys(), "none is left out"
    assert select(tmp_path / "off") == select(tmp_path / "exact")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("propagate.select", "random"),
        ("verify.llm_judge", True),
        ("verify.llm_extractor", "missing"),
    ],
)
def test_pruning_serves_eq_6_and_the_rules_alone(tmp_path: Path, key: str, value: object) -> None:
    job = make_job("reason", tmp_path)
    job = replace(job, borrowed=BORROWED | {key: value})
    with pytest.raises(ConfigError, match=key):
        write_rollouts(tmp_path, SimulatedEngine({}, 1), job, prune="exact")
