"""The trainer and TRL's SFTTrainer take the same steps over the same rows."""

from pathlib import Path

import pytest

from stages import train
from stages.training.plan import Plan
from stages.training.render import Renderer
from tests.performance import trl_baseline
from tests.stages.training.runs import (
    SHORT_PROMPT,
    make_config,
    make_job,
    make_rows,
    picture,
    steps_done,
    write_run,
)

NUM_STEPS = 4


@pytest.mark.usefixtures("standing")
@pytest.mark.parametrize("rows_per_step", [1, 3])
def test_steps_have_the_losses_and_gradient_norms_of_trl(
    tmp_path: Path, policy: Path, rows_per_step: int
) -> None:
    """The first step, and with AdamW's state those after it; none of the rows is padded."""
    rows = make_rows(NUM_STEPS * rows_per_step)
    rows[0]["images"] = [picture(7), picture(8)]
    run_dir = write_run(tmp_path / "run", rows, num_shards=1)
    config = make_config(
        run_dir,
        objective="sft",
        batch_size=rows_per_step,
        micro_batch_size=1,
        final_lr_ratio=1.0,
        max_length=256,
    )
    train.run(make_job(run_dir, policy, config, dry_run=True), config)
    steps = Plan.open(run_dir / "checkpoints" / train.WORK / "plan").steps
    assert train.run(make_job(run_dir, policy, config), config).complete
    ours = steps_done(run_dir)

    renderer = Renderer(policy, config.max_length, SHORT_PROMPT)
    times = trl_baseline.StepTimes()
    trainer = trl_baseline.make_trainer(
        policy,
        trl_baseline.as_dataset([rows[row] for step in steps for row in step], renderer),
        tmp_path / "trl",
        rows_per_step=rows_per_step,
        times=times,
        learning_rate=config.learning_rate,
    )
    trainer.train()
    theirs = [logs for logs in times.logged if "loss" in logs]
    assert len(ours) == len(theirs) == NUM_STEPS
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert mine["gradient_norm"] == pytest.approx(other["grad_norm"], rel=1e-5)
