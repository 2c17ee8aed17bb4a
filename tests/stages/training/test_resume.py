import os
import random
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from stages import train
from stages.training import checkpoint
from tests.stages.training.runs import (
    make_config,
    make_job,
    make_rows,
    start_attempt,
    steps_done,
    weights_hash,
    write_run,
)
from tests.stages.training.standing import Standing

LAYOUTS = [(0, 1, None), (2, 2, 250), (3, 2, 250)]
"""ZeRO stage, ranks, tokens of a pack."""


def wait_for_step(run_dir: Path, step: int) -> None:
    while not any(done["step"] >= step for done in steps_done(run_dir)):
        time.sleep(0.02)


@pytest.mark.usefixtures("standing")
@pytest.mark.parametrize(("zero_stage", "num_ranks", "pack_length"), LAYOUTS)
def test_killed_and_run_again_ends_in_the_same_weights(
    tmp_path: Path, policy: Path, zero_stage: int, num_ranks: int, pack_length: int | None
) -> None:
    undisturbed = write_run(tmp_path / "undisturbed", make_rows(40))
    config = make_config(
        undisturbed,
        zero_stage=zero_stage,
        num_ranks=num_ranks,
        pack_length=pack_length,
        checkpoint_every=3,
        num_epochs=2,
    )
    killed = tmp_path / "killed"
    shutil.copytree(undisturbed, killed)
    assert train.run(make_job(undisturbed, policy, config), config).figures["steps"] == 20

    attempt = start_attempt(killed, policy, config)
    wait_for_step(killed, random.randrange(4, 12))
    attempt.send_signal(signal.SIGKILL)
    attempt.wait()
    assert not (killed / "checkpoints" / "final").exists()
    outcome = train.run(make_job(killed, policy, config), config)

    assert outcome.complete
    resumed_at = [done["step"] for done in steps_done(killed)]
    assert resumed_at.count(1) == 1, "it began again from the start"
    final = Path("checkpoints") / "final"
    assert weights_hash(killed / final) == weights_hash(undisturbed / final)


@pytest.mark.parametrize(("zero_stage", "to_all"), [(2, True), (3, False)])
def test_sigterm_within_a_step_gives_it_up_and_resuming_is_exact(
    tmp_path: Path, policy: Path, ranks: Standing, zero_stage: int, to_all: bool
) -> None:
    undisturbed = write_run(tmp_path / "undisturbed", make_rows(16))
    config = make_config(
        undisturbed,
        batch_size=160,
        micro_batch_size=1,
        num_epochs=20,
        zero_stage=zero_stage,
        num_ranks=2,
    )
    stopped = tmp_path / "stopped"
    shutil.copytree(undisturbed, stopped)
    with ranks.in_place():
        assert train.run(make_job(undisturbed, policy, config), config).figures["steps"] == 2

    attempt = start_attempt(stopped, policy, config)
    wait_for_step(stopped, 1)
    if to_all:
        for process in psutil.Process(attempt.pid).children(recursive=True):
            process.terminate()  # as Slurm does
    attempt.send_signal(signal.SIGTERM)
    assert attempt.wait(60) == 75
    (saved,) = checkpoint.steps(stopped / "checkpoints")
    assert saved.name == "step-000001", "the second step, half done, was left"
    assert train.run(make_job(stopped, policy, config), config).complete
    assert [done["step"] for done in steps_done(stopped)] == [1, 2]
    final = Path("checkpoints") / "final"
    assert weights_hash(stopped / final) == weights_hash(undisturbed / final)
    print([done["seconds"] for done in steps_done(undisturbed)])


def test_a_stop_within_the_first_step_leaves_nothing_behind(tmp_path: Path, policy: Path) -> None:
    run_dir = write_run(tmp_path / "run", make_rows(16))
    config = make_config(run_dir, batch_size=16_000, micro_batch_size=1, num_epochs=1000)
    attempt = start_attempt(run_dir, policy, config)
    while not list((run_dir / "metrics").glob("events.*")):
        time.sleep(0.02)
    attempt.send_signal(signal.SIGTERM)
    assert attempt.wait(60) == 75
    assert not steps_done(run_dir) and not checkpoint.steps(run_dir / "checkpoints")


def test_ranks_end_when_the_command_is_gone(tmp_path: Path, policy: Path) -> None:
    run_dir = write_run(tmp_path / "run", make_rows(40))
    config = make_config(run_dir, num_epochs=2000)
    attempt = start_attempt(run_dir, policy, config)
    wait_for_step(run_dir, 1)
    os.kill(attempt.pid, signal.SIGKILL)
    attempt.wait()
    time.sleep(1)
    before = len(steps_done(run_dir))
    time.sleep(2)
    assert len(steps_done(run_dir)) == before
