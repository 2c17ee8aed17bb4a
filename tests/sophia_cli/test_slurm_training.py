"""A training on two nodes of a real Slurm, asked to stop on the way."""

import json
from pathlib import Path

import pytest

from tests.command import assert_refused, result_of, sophia
from tests.slurm_cluster import slurm_cluster, wait_until

SETTINGS = (
    *("--config", "world:demo.toml", "--set", "train.objective=sft", "--set", "train.num_epochs=1"),
    *("--set", "train.mix.descriptions.rows=60", "--set", "train.mix.text.rows=60"),
    *("--set", "train.batch_size=2", "--set", "train.zero_stage=2", "--set", "train.num_ranks=1"),
    *("--set", "train.num_nodes=2", "--set", "slurm.gpus_per_task=0"),
)
NUM_STEPS = 60
SECONDS = 300
"""Longest wait for the job, on a busy machine."""


def steps_done(run: Path) -> list[int]:
    """Steps of all attempts, in order."""
    attempts = sorted((run / "metrics").glob("train-*.jsonl"), key=lambda path: path.name)
    lines = [line for path in attempts for line in path.read_text().splitlines(keepends=True)]
    return [json.loads(line)["step"] for line in lines if line.endswith("\n")]


def test_two_nodes_train_together_and_go_on_after_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"

    def logs() -> str:
        files = sorted((run / "logs").rglob("*.log"))
        texts = [f"--- {path.name}\n{path.read_text()[-3000:]}" for path in files]
        return "\n".join([str(cluster.show(job)), *texts, cluster.logs()])

    with slurm_cluster(num_nodes=2) as cluster:
        for name, value in cluster.environment.items():
            monkeypatch.setenv(name, value)
        (submitted,) = result_of("slurm", "train", "--run", run, *SETTINGS, "--submit")
        job = submitted["job_id"]
        assert cluster.show(job)["NumNodes"].startswith("2")
        wait_until(lambda: len(steps_done(run)) > 2, logs, SECONDS)
        # As before its time limit, or when it is preempted: to all processes of the step.
        cluster.call("scancel", "--signal=TERM", job)
        wait_until(lambda: cluster.states(job) == {"COMPLETED"}, logs, SECONDS)
        assert cluster.show(job)["Restarts"] == "1", logs()
    assert steps_done(run) == list(range(1, NUM_STEPS + 1))
    manifest = json.loads((run / "checkpoints" / "final" / "sophia.json").read_text())
    assert (manifest["num_ranks"], manifest["step"]) == (2, NUM_STEPS)


def test_several_nodes_need_a_job_of_as_many(tmp_path: Path) -> None:
    done = sophia("train", "--run", tmp_path / "run", *SETTINGS, SLURM_JOB_NUM_NODES="3")
    assert_refused(done, 2, "train.num_nodes = 2", "there are 3 here", "sophia slurm train")
