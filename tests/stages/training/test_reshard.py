"""A training that goes on with more ranks, or fewer."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from data.errors import EngineError, InputError, RefusedError
from stages import train
from stages.training import checkpoint
from stages.training.config import Config
from stages.training.fingerprint import check_same
from stages.training.manifest import Manifest
from stages.training.resharding import check_possible
from tests.stages.training.runs import make_config, make_job, make_rows, steps_done, write_run
from tests.stages.training.test_checkpoint import START

NUM_STEPS = 8
SAVED = 4
LAYOUTS = [(0, 1, 2), (2, 2, 1), (3, 1, 2)]
"""ZeRO stage, ranks before and after."""


def train_and_rewind(run_dir: Path, policy: Path, config: Config) -> Path:
    """Train to the end, then have it end at a checkpoint."""
    assert train.run(make_job(run_dir, policy, config), config).figures["steps"] == NUM_STEPS
    saved, *later = checkpoint.steps(run_dir / "checkpoints")
    for path in (*later, run_dir / "checkpoints" / "final"):
        shutil.rmtree(path)
    return saved


def config_of(run_dir: Path, **changes: object) -> Config:
    return make_config(run_dir, num_epochs=2, checkpoint_every=SAVED, keep_checkpoints=9, **changes)


@pytest.mark.usefixtures("standing")
@pytest.mark.parametrize(
    ("zero_stage", "before", "after", "changes"),
    [
        *((*layout, {}) for layout in LAYOUTS),
        *((*layout, {"lora_rank": 4}) for layout in LAYOUTS),
        (2, 2, 1, {"dtype": "bfloat16"}),
        (3, 1, 2, {"dtype": "bfloat16", "lora_rank": 4}),
    ],
)
def test_training_goes_on_with_other_ranks(
    tmp_path: Path,
    policy: Path,
    zero_stage: int,
    before: int,
    after: int,
    changes: dict[str, Any],
) -> None:
    run_dir = write_run(tmp_path, make_rows(16))
    config = config_of(run_dir, zero_stage=zero_stage, num_ranks=before, **changes)
    path = train_and_rewind(run_dir, policy, config)

    same = train.run(make_job(run_dir, policy, config, reshard=True), config)
    assert same.figures["ranks_before"] == before, "there is nothing to do"
    config = config_of(run_dir, zero_stage=zero_stage, num_ranks=after, **changes)
    with pytest.raises(RefusedError, match="sophia train reshard"):
        train.run(make_job(run_dir, policy, config), config)
    outcome = train.run(make_job(run_dir, policy, config, reshard=True), config)
    assert outcome.figures | {"ranks_before": before, "ranks": after} == outcome.figures
    manifest = Manifest.load(path)
    assert manifest is not None and manifest.resharded_from is not None
    assert (manifest.num_ranks, manifest.resharded_from["num_ranks"]) == (after, before)
    decays = [group["weight_decay"] for group in manifest.optimizer]
    assert decays == ([0.05] if "lora_rank" in changes else [0.05, 0.0]), "adapters are matrices"
    left = {entry.name for entry in (run_dir / "checkpoints").iterdir()}
    assert left == {".lock", ".work", "plan.parquet", "rejected.jsonl", path.name}

    assert train.run(make_job(run_dir, policy, config), config).complete
    done = [(step["step"], step["loss"], step["gradient_norm"]) for step in steps_done(run_dir)]
    # Other ranks sum gradients in another order, which may round a bfloat16 weight the other way.
    tolerance = 1e-3 if config.dtype == "bfloat16" else 1e-4
    for again, undisturbed in zip(done[NUM_STEPS:], done[SAVED:NUM_STEPS], strict=True):
        assert again == pytest.approx(undisturbed, rel=tolerance)


@pytest.mark.parametrize("what", ["next_loss", "exp_avg_sq"])
def test_a_state_that_is_not_the_one_saved_is_not_continued(what: str) -> None:
    saved = {"next_loss": 2.5, "exp_avg": 1e-3, "exp_avg_sq": 1e-6}
    check_same(saved, saved, torch.float32, "step-4")
    check_same({}, saved, torch.float32, "of an older version")
    with pytest.raises(EngineError, match=f"step-4 .* its {what} is"):
        check_same(saved, saved | {what: saved[what] * 1.001}, torch.float32, "step-4")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"zero_stage": 3}, r"written at ZeRO stage 3.*train\.zero_stage = 3"),
        ({"fingerprint": {}}, "can't be checked"),
    ],
)
def test_what_can_t_be_resharded_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    manifest = replace(START, fingerprint={"next_loss": 1.0})
    check_possible(tmp_path, manifest, Config(zero_stage=2))
    with pytest.raises(RefusedError, match=words):
        check_possible(tmp_path, replace(manifest, **changes), Config(zero_stage=2))


def test_there_is_nothing_to_reshard(tmp_path: Path, policy: Path) -> None:
    run_dir = write_run(tmp_path, make_rows(4))
    config = make_config(run_dir)
    with pytest.raises(InputError, match="no checkpoint"):
        train.run(make_job(run_dir, policy, config, reshard=True), config)
