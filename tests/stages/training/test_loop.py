from pathlib import Path

import pytest

from data.errors import EngineError
from stages import train
from stages.training import checkpoint
from tests.stages.training.runs import make_config, make_job, make_rows, write_run


@pytest.mark.usefixtures("standing")
@pytest.mark.parametrize("zero_stage", [2, 3])
def test_a_step_whose_loss_is_not_finite_ends_training(
    zero_stage: int, tmp_path: Path, policy: Path
) -> None:
    """DeepSpeed itself would skip the step and go on."""
    rows = [{**row, "reward": 3e37} for row in make_rows(4)]
    run_dir = write_run(tmp_path / "run", rows)
    config = make_config(run_dir, zero_stage=zero_stage, dtype="bfloat16", micro_batch_size=1)
    with pytest.raises(EngineError, match=r"step 1 has no finite loss or gradient.*'loss': inf"):
        train.run(make_job(run_dir, policy, config), config)
    assert not checkpoint.steps(run_dir / "checkpoints")
