"""Training of adapters beside frozen weights."""

import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from data.errors import ConfigError
from stages import train
from stages.training import checkpoint, lora
from stages.training.config import Config
from stages.training.export import tensor_facts
from tests.stages.training.runs import (
    make_config,
    make_job,
    make_rows,
    steps_done,
    weights_hash,
    write_run,
)

LORA = {"lora_rank": 4, "lora_alpha": 16.0, "lora_dropout": 0.1}
FINAL = Path("checkpoints") / "final"
STATE_BYTES = 600_000
"""Of a checkpoint of adapters; one of the whole language model has three times as many."""


@pytest.mark.parametrize(("zero_stage", "num_ranks"), [(0, 1), (2, 2), (3, 2)])
def test_only_adapters_train_are_saved_resumed_and_merged(
    tmp_path: Path, policy: Path, zero_stage: int, num_ranks: int
) -> None:
    undisturbed = write_run(tmp_path / "undisturbed", make_rows(16))
    config = make_config(
        undisturbed, zero_stage=zero_stage, num_ranks=num_ranks, num_epochs=3, **LORA
    )
    config = config.model_copy(update={"learning_rate": 1e-2})
    stopped = tmp_path / "stopped"
    shutil.copytree(undisturbed, stopped)
    assert train.run(make_job(undisturbed, policy, config), config).complete

    job = make_job(stopped, policy, config, should_stop=lambda: len(steps_done(stopped)) > 3)
    assert not train.run(job, config).complete
    (saved,) = checkpoint.steps(stopped / "checkpoints")
    assert sum(path.stat().st_size for path in saved.rglob("*.pt")) < STATE_BYTES
    assert train.run(make_job(stopped, policy, config), config).complete
    assert weights_hash(stopped / FINAL) == weights_hash(undisturbed / FINAL)
    steps = steps_done(undisturbed)
    assert steps[-1]["loss"] < 0.9 * steps[0]["loss"]

    final = undisturbed / FINAL
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
