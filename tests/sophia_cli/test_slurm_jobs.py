"""Stages as jobs of a real Slurm, disturbed on the way."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import assert_refused, result_of, sophia
from tests.slurm_cluster import Cluster, slurm_cluster, wait_until

SETTINGS = [
    *("--config", "world:demo.toml"),
    *("--set", "caption.num_captions=2", "--set", "reason.num_rollouts=2"),
    *("--set", "models.policy.batch_size=4", "--set", "models.reasoner.batch_size=4"),
    *("--set", "run.commit_seconds=0.2", "--set", "run.lease_seconds=5"),
    *("--set", "slurm.gpus_per_task=0", "--set", "slurm.time=1:00:00"),
]
ROWS = {"captions": 48, "rollouts": 96, "verdicts": 96, "rewards": 96}
SECONDS = 300
"""Longest wait for jobs to end, on a busy machine."""

Submit = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with slurm_cluster() as running:
        yield running


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "it's a run, 100%j"  # what shells and Slurm trip over
    result_of("ingest", "world:train", "--run", folder, "--limit", "24", "--num-shards", "4")
    return folder


@pytest.fixture
def submit(cluster: Cluster, run: Path, monkeypatch: pytest.MonkeyPatch) -> Submit:
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)

    def submit(*stages: str, **settings: object) -> dict[str, str]:
        values = [f"--set=slurm.{name}={value}" for name, value in settings.items()]
        found = result_of("slurm", *stages, "--run", run, *SETTINGS, *values, "--submit")
        return {row["stage"]: row["job_id"] for row in found}

    return submit


def logs(run: Path) -> str:
    """What the jobs printed, for a test that fails."""
    files = sorted((run / "logs" / "slurm").glob("*.log"))
    return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in files)


def assert_complete(run: Path) -> None:
    tables = result_of("status", "--run", run)["tables"]
    assert {name: tables[name]["rows"] for name in ROWS} == ROWS, logs(run)
    shards = {table["finished_shards"] for table in tables.values()}
    assert shards == {4}, tables
    assert not any(table["rows_under_way"] for table in tables.values())


def test_arrays_that_are_disturbed_complete_the_run(
    cluster: Cluster, submit: Submit, run: Path
) -> None:
    jobs = submit("caption", "reason", "reward", num_workers=2)
    reason = jobs["reason"]
    wait_until(lambda: any(run.glob("rollouts/.parts/*/*.parquet")), lambda: logs(run), SECONDS)
    assert cluster.states(jobs["caption"]) == {"COMPLETED"}
    assert cluster.states(jobs["reward"]) == {"PENDING"}
    # One worker is asked to stop, as before its time limit; the other is taken away.
    cluster.call("scancel", "--signal=USR1", f"{reason}_0")
    cluster.call("scontrol", "requeue", f"{reason}_1")
    done = {"COMPLETED"}
    wait_until(lambda: cluster.states(jobs["reward"]) == done, lambda: logs(run), SECONDS)
    assert cluster.states(reason) == done
    for task in (f"{reason}_0", f"{reason}_1"):
        assert cluster.show(task)["Restarts"] == "1", logs(run)
    first = (run / "logs" / "slurm" / f"reason-{reason}_0.log").read_text()
    assert "SIGUSR1" in first and "reason: complete" in first
    assert_complete(run)


def test_stages_that_follow_each_other_run_side_by_side(
    cluster: Cluster, submit: Submit, run: Path
) -> None:
    jobs = submit("caption", "reason", "reward", chain="follow")
    done = {"COMPLETED"}
    wait_until(lambda: cluster.states(jobs["reward"]) == done, lambda: logs(run), SECONDS)
    started = {stage: cluster.show(f"{job}_0")["StartTime"] for stage, job in jobs.items()}
    assert started["reason"] < cluster.show(f"{jobs['caption']}_0")["EndTime"]
    assert_complete(run)


def test_what_depends_on_a_failure_does_not_wait_for_ever(cluster: Cluster, submit: Submit) -> None:
    jobs = submit("verify", "propagate-reward")
    wait_until(lambda: cluster.states(jobs["propagate-reward"]) == {"CANCELLED"}, str, SECONDS)
    assert cluster.states(jobs["verify"]) == {"FAILED"}  # there are no rollouts
    assert cluster.show(jobs["verify"])["ExitCode"] == "5:0"


def test_refusal_of_sbatch_is_explained(submit: Submit, run: Path) -> None:
    wrong = ("--set", "slurm.partition=none")
    done = sophia("slurm", "caption", "--run", run, *SETTINGS, *wrong, "--submit")
    assert_refused(done, 2, "invalid partition", "slurm settings")
