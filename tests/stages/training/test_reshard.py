"""A training that goes on with more ranks, or fewer."""

from pathlib import Path

import pytest

from data.errors import EngineError, InputError, RefusedError
from stages import train
from stages.training import checkpoint
from stages.training.checkpoint import Manifest
from tests.stages.training.runs import make_config, make_job, make_rows, steps_done, write_run

NUM_ROWS = 24
EPOCHS = 2
NUM_STEPS = 12


def losses(run_dir: Path) -> list[tuple[float, float]]:
    return [(step["loss"], step["gradient_norm"]) for step in steps_done(run_dir)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, policy: Path) -> list[tuple[float, float]]:
    """Losses and gradient norms of the same training by one rank."""
    run_dir = write_run(tmp_path_factory.mktemp("undisturbed"), make_rows(NUM_ROWS))
    config = make_config(run_dir, num_epochs=EPOCHS)
    assert train.run(make_job(run_dir, policy, config), config).figures["steps"] == NUM_STEPS
    return losses(run_dir)


@pytest.mark.parametrize(("zero_stage", "before", "after"), [(2, 2, 1), (3, 1, 2)])
def test_training_goes_on_with_other_ranks(
    tmp_path: Path,
    policy: Path,
    undisturbed: list[tuple[float, float]],
    zero_stage: int,
    before: int,
    after: int,
) -> None:
    run_dir = write_run(tmp_path, make_rows(NUM_ROWS))
    config = make_config(run_dir, num_epochs=EPOCHS, zero_stage=zero_stage, num_ranks=before)
    job = make_job(run_dir, policy, config, should_stop=lambda: len(steps_done(run_dir)) > 1)
    assert not train.run(job, config).complete

    config = config.model_copy(update={"num_ranks": after})
    with pytest.raises(RefusedError, match="sophia train reshard"):
        train.run(make_job(run_dir, policy, config), config)
    outcome = train.run(make_job(run_dir, policy, config, reshard=True), config)
    assert outcome.figures | {"ranks_before": before, "ranks": after} == outcome.figures
    (path,) = checkpoint.steps(run_dir / "checkpoints")
    manifest = Manifest.load(path)
    assert manifest is not None and manifest.resharded_from is not None
    assert (manifest.num_ranks, manifest.resharded_from["num_ranks"]) == (after, before)
    left = {entry.name for entry in (run_dir / "checkpoints").iterdir()}
    assert left == {".lock", ".work", path.name}

    assert train.run(make_job(run_dir, policy, config), config).complete
    assert len(losses(run_dir)) == NUM_STEPS
    for found, expected in zip(losses(run_dir), undisturbed, strict=True):
        assert found == pytest.approx(expected, rel=1e-3)
