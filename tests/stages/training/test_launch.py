"""What is refused before any rank is started, or by it before it joins the others."""

from pathlib import Path

import pytest
import torch

from data.errors import ConfigError
from stages import train
from stages.training.launch import require_devices
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
