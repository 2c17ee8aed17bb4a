import shutil
from pathlib import Path
from typing import Any

import pytest

from data.errors import EngineError
from stages import train
from stages.training import checkpoint
from tests.stages.training.runs import (
    make_config,
    make_job,
    make_rows,
    steps_done,
    weights_hash,
    write_run,
)
from tests.stages.training.standing import Standing


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


@pytest.mark.usefixtures("standing")
def test_checkpoints_are_made_by_time_too_by_all_ranks_alike(tmp_path: Path, policy: Path) -> None:
    plain = write_run(tmp_path / "plain", make_rows(16))
    often = tmp_path / "often"
    shutil.copytree(plain, often)
    saved, weights = [], []
    for run_dir, seconds in ((plain, None), (often, 1e-9)):
        config = make_config(
            run_dir,
            zero_stage=2,
            num_ranks=2,
            checkpoint_every=100,
            keep_checkpoints=9,
            checkpoint_seconds=seconds,
        )
        assert train.run(make_job(run_dir, policy, config), config).complete
        saved.append([path.name for path in checkpoint.steps(run_dir / "checkpoints")])
        weights.append(weights_hash(run_dir / "checkpoints" / "final"))
    assert saved == [["step-000004"], [f"step-00000{step}" for step in range(1, 5)]]
    assert weights[0] == weights[1]


def test_a_stop_after_the_last_step_leaves_the_export_to_the_next_attempt(
    tmp_path: Path, policy: Path, ranks: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = write_run(tmp_path / "run", make_rows(4))
    config, final = make_config(run_dir), run_dir / "checkpoints" / "final"

    def launch(*of: Any, module: str, **options: Any) -> None:
        ranks.launch(*of, module="tests.stages.training.stopped_at_end", **options)

    monkeypatch.setattr(train, "launch", launch)
    assert not train.run(make_job(run_dir, policy, config), config).complete
    assert not final.exists()
    assert [path.name for path in checkpoint.steps(run_dir / "checkpoints")] == ["step-000001"]
    with ranks.in_place():
        assert train.run(make_job(run_dir, policy, config), config).complete
    assert final.exists()
    assert len(steps_done(run_dir)) == 1
