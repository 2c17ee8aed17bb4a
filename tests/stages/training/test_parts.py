import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from data.errors import EngineError
from stages import train
from stages.training import checkpoint, lora
from stages.training.config import Config
from stages.training.manifest import MANIFEST
from stages.training.parts import check_frozen, describe_parts, frozen_digests
from stages.training.policy import Policy
from tests.stages.training.runs import make_config, make_job, make_rows, write_run
from tests.stages.training.standing import Standing


@pytest.fixture
def loaded(policy: Path) -> Policy:
    return Policy(policy, torch.bfloat16, torch.device("cpu"))


def test_it_says_which_parts_train(loaded: Policy) -> None:
    found = describe_parts(loaded.model)
    assert found["trained"].keys() == {"language_model"}, "the head is the embeddings"
    assert found["frozen"].keys() == {"vision_tower", "multi_modal_projector"}
    total = sum(each.numel() for each in loaded.model.parameters())
    assert sum(found["trained"].values()) + sum(found["frozen"].values()) == total


@pytest.mark.parametrize("part", ["vision_tower", "multi_modal_projector"])
def test_another_part_that_trains_is_a_bug(loaded: Policy, part: str) -> None:
    next(getattr(loaded.model.model, part).parameters()).requires_grad_()
    with pytest.raises(RuntimeError, match=part):
        describe_parts(loaded.model)


def test_nothing_that_trains_is_a_bug(loaded: Policy) -> None:
    loaded.model.requires_grad_(False)
    with pytest.raises(RuntimeError, match="should train"):
        describe_parts(loaded.model)


@torch.no_grad()
def test_a_frozen_weight_that_changes_is_found(loaded: Policy) -> None:
    before = describe_parts(loaded.model)
    for weights in loaded.language.parameters():
        weights.add_(1)
    check_frozen(before, frozen_digests(loaded.model))
    next(loaded.model.model.multi_modal_projector.parameters()).view(-1)[0] += 1
    with pytest.raises(EngineError, match="not those that training began with"):
        check_frozen(before, frozen_digests(loaded.model))


@torch.no_grad()
def test_the_language_model_is_frozen_beside_adapters(policy: Path) -> None:
    adapt = partial(lora.add_adapters, config=Config(lora_rank=2), seed=1)
    model = Policy(policy, torch.bfloat16, torch.device("cpu"), adapt).model
    before = describe_parts(model)
    for weights in model.parameters():
        if weights.requires_grad:
            weights.add_(1)
    check_frozen(before, frozen_digests(model))
    check_frozen({"frozen_sha256": before["frozen_sha256"]}, describe_parts(model))
    name = "language_model.layers.0.mlp.up_proj.base_layer.weight"
    model.model.get_parameter(name).view(-1)[0] += 1
    with pytest.raises(EngineError, match="not those that training began with"):
        check_frozen(before, frozen_digests(model))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, policy: Path, ranks: Standing) -> Path:
    """A run with all its steps done, and no export yet."""
    run_dir = write_run(tmp_path_factory.mktemp("stopped"), make_rows(4))
    config = make_config(run_dir, lora_rank=2)
    with ranks.in_place():
        assert train.run(make_job(run_dir, policy, config), config).complete
    shutil.rmtree(run_dir / "checkpoints" / checkpoint.FINAL)
    return run_dir


@pytest.mark.usefixtures("standing")
@pytest.mark.parametrize("part", ["projector", "mlp.up_proj"])
def test_other_frozen_weights_are_not_continued_on(
    tmp_path: Path, policy: Path, stopped: Path, part: str
) -> None:
    run_dir, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(stopped, run_dir)
    shutil.copytree(policy, other)
    weights = load_file(other / "model.safetensors")
    name = next(name for name in weights if part in name and name.endswith("weight"))
    save_file({**weights, name: weights[name] + 1}, other / "model.safetensors", {"format": "pt"})
    config = make_config(stopped, lora_rank=2)
    with pytest.raises(EngineError, match=r"frozen weights .* not those that training began with"):
        train.run(make_job(run_dir, other, config), config)
    assert train.run(make_job(run_dir, policy, config), config).complete


@pytest.mark.usefixtures("standing")
@pytest.mark.parametrize("what", ["next_loss", "exp_avg"])
def test_a_state_that_is_loaded_as_another_is_not_continued_on(
    tmp_path: Path, policy: Path, stopped: Path, what: str
) -> None:
    run_dir = Path(shutil.copytree(stopped, tmp_path / "run"))
    (path,) = checkpoint.steps(run_dir / "checkpoints")
    manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text())
    manifest["fingerprint"][what] *= 1.01
    (path / MANIFEST).write_text(json.dumps(manifest))
    config = make_config(stopped, lora_rank=2)
    with pytest.raises(EngineError, match=f"not give the state that was saved: its {what} is"):
        train.run(make_job(run_dir, policy, config), config)


def test_a_frozen_weight_that_trains_is_not_exported(
    tmp_path: Path, policy: Path, ranks: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = write_run(tmp_path / "run", make_rows(4))
    config = make_config(run_dir)

    def launch(*of: Any, module: str, **options: Any) -> None:
        ranks.launch(*of, module="tests.stages.training.thawed", **options)

    monkeypatch.setattr(train, "launch", launch)
    with pytest.raises(EngineError, match=r"frozen weights .* not those that training began with"):
        train.run(make_job(run_dir, policy, config), config)
    assert not (run_dir / "checkpoints" / checkpoint.FINAL).exists()
