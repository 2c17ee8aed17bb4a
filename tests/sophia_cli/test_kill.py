"""Each stage killed with SIGKILL at random moments gives the tables of an undisturbed run."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.command import SOPHIA, result_of

SETTINGS = [
    *("--config", "world:demo.toml"),
    *("--set", "caption.num_captions=2", "--set", "reason.num_rollouts=2"),
    *("--set", "propagate.alpha=0.4", "--set", "eval.num_questions=12"),
    *("--set", "train.checkpoint_every=1", "--set", "train.batch_size=8"),
    *("--set", "train.num_epochs=2", "--set", "run.commit_seconds=0.2"),
    *("--set", "train.mix.text.weight=0.5", "--set", "train.mix.descriptions.weight=0.5"),
    *("--set", "models.policy.batch_size=4", "--set", "models.reasoner.batch_size=4"),
]
STAGES = {
    "caption": ["captions"],
    "reason": ["rollouts"],
    "verify": ["verdicts"],
    "propagate-reward": ["rewards", "trajectories"],
    "train": ["checkpoints/final"],
    "eval": ["evals/world"],
}

LONGEST_WAITS = {
    "caption": (0.3, 0.6, 0.9),
    "reason": (1.0, 2.0, 3.0),
    "verify": (0.0, 0.0, 0.1),
    "propagate-reward": (0.0, 0.0, 0.1),
    "train": (5.0, 10.0, 10.0, 20.0),
    "eval": (0.3, 0.5, 0.7),
}
"""Seconds from a stage's first output to a kill, at most: about as long as the stage takes."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run of the built-in world, finished without a disturbance."""
    run = tmp_path_factory.mktemp("kill") / "undisturbed"
    result_of("ingest", "world:train", "--run", run, "--limit", "20", "--num-shards", "2")
    result_of("run", "--run", run, *SETTINGS)
    return run


def start(stage: str, run: Path) -> "subprocess.Popen[str]":
    """A stage in a process group of its own, so that a kill takes everything it started."""
    return subprocess.Popen(
        [SOPHIA, stage, "--run", str(run), *SETTINGS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_output(worker: "subprocess.Popen[str]", folder: Path) -> None:
    """Return when the stage writes something, or ends."""
    before = set(folder.rglob("*"))
    deadline = time.monotonic() + 120
    while worker.poll() is None and set(folder.rglob("*")) == before:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def content(folder: Path) -> dict[str, str]:
    """What a table or checkpoint says: its rows or weights, without times."""
    found = {}
    for path in sorted(folder.glob("*.parquet")):
        rows = json.dumps(pq.read_table(path).to_pylist(), default=str)
        found[path.name] = hashlib.sha256(rows.encode()).hexdigest()
    for path in sorted(folder.glob("*.safetensors")):
        found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_killed_stage_comes_out_the_same(stage: str, undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    produced = [name for tables in list(STAGES.values()) for name in tables]
    shutil.copytree(undisturbed, run)
    for name in produced[produced.index(STAGES[stage][0]) :]:
        shutil.rmtree(run / name.partition("/")[0], ignore_errors=True)
    moments = random.Random(stage)
    kills = 0
    for longest in LONGEST_WAITS[stage]:
        worker = start(stage, run)
        wait_for_output(worker, run / STAGES[stage][0].partition("/")[0])
        time.sleep(moments.uniform(0, longest))
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
            kills += 1
        worker.communicate()
    worker = start(stage, run)
    _, errors = worker.communicate(timeout=300)
    assert worker.returncode == 0, errors
    for name in STAGES[stage]:
        assert content(run / name) == content(undisturbed / name) != {}
    assert kills or stage in ("verify", "propagate-reward"), "these two may end before a kill"


DYING = """
import os, signal, sys
left, link = int(sys.argv.pop(1)), os.link
def counted(*arguments, **more):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    link(*arguments, **more)
os.link = counted
from sophia_cli.__main__ import main
main()
"""


@pytest.mark.parametrize("stage", ["verify", "propagate-reward"])
def test_stage_killed_between_two_files_comes_out_the_same(
    stage: str, undisturbed: Path, tmp_path: Path
) -> None:
    """Killed before it gives a file its name: the first, then the one after it, then the next."""
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    for name in STAGES[stage]:
        shutil.rmtree(run / name)
    ends = []
    for left in (1, 2, 2, 10):
        command = [sys.executable, "-c", DYING, str(left), stage, "--run", str(run), *SETTINGS]
        ends.append(subprocess.run(command, capture_output=True, text=True).returncode)
    assert ends[:2] == [-signal.SIGKILL] * 2 and ends[-1] == 0
    for name in STAGES[stage]:
        assert content(run / name) == content(undisturbed / name) != {}


def test_sigterm_commits_and_exits_75(undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(undisturbed / "samples", run / "samples")
    worker = start("caption", run)
    deadline = time.monotonic() + 120
    while not list((run / "captions").rglob("[!.]*.parquet")):
        assert time.monotonic() < deadline and worker.poll() is None, worker.communicate()
        time.sleep(0.01)
    worker.terminate()
    _, errors = worker.communicate(timeout=60)
    assert worker.returncode == 75, errors
    assert "SIGTERM" in errors and "same command" in errors
    committed = result_of("status", "--run", run)["tables"]["captions"]
    assert 0 < committed["rows"] + committed["rows_under_way"] < 40
    worker = start("caption", run)
    worker.communicate(timeout=300)
    assert content(run / "captions") == content(undisturbed / "captions")


def test_a_signal_to_every_process_of_a_training_is_a_stop(
    undisturbed: Path, tmp_path: Path
) -> None:
    """As Slurm sends it, where it does not know which process is whose."""
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    for folder in ("checkpoints", "metrics"):
        shutil.rmtree(run / folder)
    worker = start("train", run)
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size for path in (run / "metrics").glob("*.jsonl")):
        assert time.monotonic() < deadline and worker.poll() is None, worker.communicate()
        time.sleep(0.05)
    for process in [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(True)]:
        process.send_signal(signal.SIGUSR1)
    _, errors = worker.communicate(timeout=120)
    assert worker.returncode == 75, errors
    assert list((run / "checkpoints").glob("step-*"))
