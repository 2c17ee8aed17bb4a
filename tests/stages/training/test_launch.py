"""What is refused before any rank is started, or by it before it joins the others."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from data.errors import ConfigError
from stages import train
from stages.budget import Budget
from stages.training.launch import alone, command, environment, launch, require_devices
from stages.training.loop import start_distributed
from tests.stages.training.runs import make_config, make_job, make_rows, write_run

FEWER = r"train\.num_ranks = 8, and .* has 4 GPUs.*train\.num_ranks to 4 or fewer"


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.mark.usefixtures("four_gpus")
def test_more_ranks_than_devices_are_refused_before_the_plan(tmp_path: Path, policy: Path) -> None:
    run_dir = write_run(tmp_path, make_rows(2))
    config = make_config(run_dir, num_ranks=8)
    with pytest.raises(ConfigError, match=FEWER):
        train.run(make_job(run_dir, policy, config), config)
    assert not (run_dir / "checkpoints" / train.WORK).exists()
    require_devices(4)


@pytest.mark.usefixtures("four_gpus")
def test_a_node_with_fewer_devices_than_the_first_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    with pytest.raises(ConfigError, match=FEWER):
        start_distributed()


def test_where_there_are_no_devices_any_number_will_do() -> None:
    require_devices(64)


def test_a_file_system_without_locks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lustre mounted without -o flock has none; here every file system has."""

    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.raises(ConfigError, match=r"can't be locked \(Function not impl.*-o flock.*\.lock"),
        alone(tmp_path, lambda: False),
    ):
        pass


def test_the_node_that_exports_is_waited_for(tmp_path: Path) -> None:
    assert "--wait=0" in command(tmp_path / "task.json", 8, "module", num_nodes=2)


def test_ranks_wait_for_each_other_longer_than_ten_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = (
        "from torch import distributed; from stages.training.loop import start_distributed\n"
        "start_distributed(); group = distributed.distributed_c10d._get_default_group()\n"
        "print(group._get_backend(torch.device('cpu')).options._timeout)"
    )
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost"}
    done = subprocess.run(
        [sys.executable, "-c", f"import torch; {program}"],
        env={**environment(1), **alone, "MASTER_PORT": "0"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1:] == ["1:00:00"], done.stderr
    monkeypatch.setenv("DEEPSPEED_TIMEOUT", "5")
    assert environment(1)["DEEPSPEED_TIMEOUT"] == "5", "one's own wins"


@pytest.mark.parametrize(("num_steps", "is_told"), [(2, False), (3, True)])
def test_no_step_is_begun_for_which_there_is_no_time(
    num_steps: int, is_told: bool, tmp_path: Path
) -> None:
    """Two are done, of a minute each, and half a minute is left: enough to export the policy."""
    (tmp_path / "task.json").touch()
    job = make_job(tmp_path, tmp_path, make_config(tmp_path), budget=Budget(30))
    with alone(tmp_path / "checkpoints", lambda: False) as lock:
        launch(
            job,
            tmp_path / "task.json",
            num_ranks=1,
            progress=tmp_path / "progress.jsonl",
            log=tmp_path / "ranks.log",
            lock=lock,
            module="tests.stages.training.two_steps",
            num_steps=num_steps,
        )
    assert (tmp_path / "told").exists() == is_told
