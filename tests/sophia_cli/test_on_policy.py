"""On-policy rollouts: the policy answers from the image, and trains on its own tokens."""

from pathlib import Path

from data import tables
from data.records import Rollout, Trajectory
from tests.command import result_of

SETTINGS = (
    *("--config", "world:demo.toml"),
    *("--set", "reason.behavior=image", "--set", "reason.num_rollouts=4"),
    *("--set", "propagate.alpha=0.2", "--set", "train.batch_size=4"),
    *("--set", "train.num_epochs=1", "--set", "eval.num_questions=4"),
    *("--set", "train.mix.text.weight=0.1", "--set", "train.mix.descriptions.weight=0.1"),
)


def test_a_run_without_captions(tmp_path: Path) -> None:
    run = tmp_path / "run"
    result_of("ingest", "world:train", "--run", run, "--limit", "12", "--num-shards", "1")
    outcomes = result_of("run", "--run", run, *SETTINGS)
    assert "caption" not in outcomes and not (run / "captions").exists()
    assert outcomes["reason"]["rows"] == 12 * 4
    path = tables.shard_path(run / "rollouts", 0, 1)
    rollouts = {(r["sample_id"], r["rollout_index"]): r for r in tables.read_rows(path, Rollout)}
    assert {row["model"] for row in rollouts.values()} == {"world:policy"}
    path = tables.shard_path(run / "trajectories", 0, 1)
    trajectories = list(tables.read_rows(path, Trajectory))
    assert trajectories
    for row in trajectories:
        rollout = rollouts[row["sample_id"], row["rollout_index"]]
        assert row["token_ids"] == rollout["token_ids"]
        assert row["response"] == rollout["text"]
    assert outcomes["train"]["figures"]["num_trajectories"] == len(trajectories)
