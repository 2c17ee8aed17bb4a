"""Training of adapters beside frozen weights."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from data.errors import ConfigError
from stages import train
from stages.training import lora
from stages.training.config import Config
from stages.training.tensor_facts import tensor_facts
from tests.stages.training.resuming import LAYOUTS
from tests.stages.training.runs import make_config, make_job, make_rows, steps_done, write_run
from tests.stages.training.standing import Standing

LORA = {"lora_rank": 4, "lora_alpha": 16, "lora_dropout": 0.1}
STATE_BYTES = 600_000
"""Of a checkpoint of adapters; one of the whole language model has three times as many."""


def test_resuming_is_exact_and_checkpoints_hold_adapters_alone(
    tmp_path: Path, policy: Path, ranks: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = write_run(tmp_path / "run", make_rows(16))
    config = make_config(run_dir, **LORA)
    monkeypatch.setattr(train, "launch", lambda *_, **__: None)
    assert not train.run(make_job(run_dir, policy, config), config).complete
    task = run_dir / "checkpoints" / train.WORK / "task.json"
    ranks.run(2, "tests.stages.training.resuming", task, tmp_path)
    model = AutoModelForImageTextToText.from_pretrained(policy)
    adapted = lora.target_modules(model, ())
    names = {f"{name}.lora_{part}.default.weight" for name in adapted for part in "AB"}
    for zero_stage, dtype in LAYOUTS:
        facts = json.loads((tmp_path / f"{zero_stage}-{dtype}.json").read_text())
        assert facts["difference"] == 0.0
        assert set(facts["names"]) == names
        assert facts["bytes"] < STATE_BYTES


@pytest.mark.usefixtures("standing")
def test_the_export_is_merged_and_has_the_adapter_beside_it(tmp_path: Path, policy: Path) -> None:
    run_dir = write_run(tmp_path / "run", make_rows(16))
    config = make_config(run_dir, num_epochs=3, **LORA | {"learning_rate": 1e-2})
    assert train.run(make_job(run_dir, policy, config), config).complete
    steps = steps_done(run_dir)
    assert steps[-1]["loss"] < 0.9 * steps[0]["loss"]
    final = run_dir / "checkpoints" / "final"
    assert tensor_facts(final) == tensor_facts(policy)
    before, after = (load_file(each / "model.safetensors") for each in (policy, final))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    model = AutoModelForImageTextToText.from_pretrained(policy)
    targets = lora.target_modules(model, ())
    names = {name.replace("model.language_model.", "") for name in targets}
    assert len(changed) == len(targets) == 14
    assert all(any(f".{name}." in f".{key}" for name in names) for key in changed)
    merged = AutoModelForImageTextToText.from_pretrained(final)
    adapted = PeftModel.from_pretrained(model, final / lora.FOLDER)
    ids = torch.arange(5, 25)[None]
    torch.testing.assert_close(adapted(input_ids=ids).logits, merged(input_ids=ids).logits)


def test_adapters_are_put_where_they_are_asked_for(policy: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(policy).requires_grad_(False)
    lora.add_adapters(model, Config(lora_rank=2, lora_targets=("q_proj", "v_proj")), seed=1)
    trained = [name for name, each in model.named_parameters() if each.requires_grad]
    assert len(trained) == 2 * 2 * 2
    assert all(".q_proj." in name or ".v_proj." in name for name in trained)
    assert all(name.startswith("model.language_model.") for name in trained)


def test_layers_that_are_not_there_are_refused(tmp_path: Path, policy: Path) -> None:
    run_dir = write_run(tmp_path, make_rows(1))
    config = make_config(run_dir, lora_rank=2, lora_targets=("attn.qkv",))
    with pytest.raises(ConfigError, match=r"attn\.qkv.*It has down_proj, gate_proj"):
        train.run(make_job(run_dir, policy, config), config)


@pytest.mark.parametrize("name", ["lm_head", "embed_tokens"])
def test_a_head_that_may_be_tied_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="tied"):
        Config(lora_rank=2, lora_targets=("q_proj", name))


@pytest.mark.parametrize("key", Config.SPLIT)
def test_with_dropout_how_a_step_is_split_is_part_of_what_is_learned(
    key: str, tmp_path: Path, policy: Path
) -> None:
    def identity(**changes: object) -> str:
        config = make_config(tmp_path, **changes)
        return make_job(tmp_path, policy, config).metadata.digest

    assert identity(lora_rank=4) == identity(lora_rank=4, **{key: 3})
    assert identity(**LORA) != identity(**LORA, **{key: 3})


def test_with_dropout_the_number_of_ranks_has_to_be_set() -> None:
    with pytest.raises(ValidationError, match="set num_ranks"):
        Config(lora_rank=2, lora_dropout=0.1)
