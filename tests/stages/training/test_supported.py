import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    Gemma2Config,
    GraniteConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PretrainedConfig,
)

from data.errors import ConfigError, InputError
from stages import train
from stages.training.config import Config
from stages.training.supported import check_supported
from tests import tiny_families
from tests.stages.training.runs import make_config, make_job, make_rows, write_run

SIZES = {
    "vocab_size": 8,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
}


def save(folder: Path, text: PretrainedConfig) -> Path:
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    config = LlavaConfig(text_config=text, vision_config=vision, tie_word_embeddings=False)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    return folder


def gemma(**changes: Any) -> Gemma2Config:
    uncapped = {"attn_logit_softcapping": None, "final_logit_softcapping": None}
    return Gemma2Config(**SIZES | uncapped | changes)


@pytest.mark.parametrize("packed", [{"pack_length": 100}, {"micro_batch_size": 2}])
def test_capped_attention_is_refused_in_packs(tmp_path: Path, packed: dict[str, int]) -> None:
    model = save(tmp_path, gemma(attn_logit_softcapping=50.0))
    with pytest.raises(ConfigError, match=r"attn_logit_softcapping = 50.*pack_length = null"):
        check_supported(model, Config(**packed))
    check_supported(model, Config())


@pytest.mark.parametrize(
    "text", [gemma(final_logit_softcapping=30.0), GraniteConfig(logits_scaling=8.0, **SIZES)]
)
def test_changed_logits_are_refused(tmp_path: Path, text: PretrainedConfig) -> None:
    with pytest.raises(ConfigError, match="changes its logits"):
        check_supported(save(tmp_path, text), Config())


def test_others_are_not_refused(policy: Path) -> None:
    check_supported(policy, Config(pack_length=100))


def test_it_is_refused_before_the_plan(tmp_path: Path) -> None:
    model = save(tmp_path / "model", gemma(attn_logit_softcapping=50.0))
    run_dir = write_run(tmp_path / "run", make_rows(2))
    config = make_config(run_dir, pack_length=100)
    with pytest.raises(ConfigError, match="attention within packed rows"):
        train.run(make_job(run_dir, model, config), config)
    assert not (run_dir / "checkpoints" / train.WORK / "plan").exists()


def test_sums_in_bfloat16_are_refused_before_the_plan(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    run_dir = write_run(tmp_path / "run", make_rows(2))
    config = make_config(run_dir, zero_stage=0, dtype="auto")
    with pytest.raises(ConfigError, match=r"train\.zero_stage = 2, or train\.dtype = float32"):
        train.run(make_job(run_dir, policy, config), config)
    assert not (run_dir / "checkpoints" / train.WORK / "plan").exists()
    check_supported(policy, make_config(run_dir, zero_stage=0, dtype="float32"))
    check_supported(policy, make_config(run_dir, zero_stage=2, dtype="auto"))


def test_weights_that_an_export_could_not_be_compared_with_are_refused(
    tmp_path: Path, policy: Path
) -> None:
    shutil.copytree(policy, tmp_path / "old")
    (tmp_path / "old" / "model.safetensors").rename(tmp_path / "old" / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"not in safetensors.*save_pretrained"):
        check_supported(tmp_path / "old", Config())


def in_bfloat16(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {**weights, name: weights[name].bfloat16()}


def without(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: weights[key] for key in weights if key != name}


def with_one_more(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {**weights, f"{name}_scale": weights[name].clone()}


def with_one_cut(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {**weights, name: weights[name][1:]}


def in_eight_bits(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {**weights, name: weights[name].to(torch.float8_e4m3fn)}


FLAWS: dict[Any, tuple[type[Exception], str]] = {
    in_bfloat16: (ConfigError, r"1 tensors .* is BF16, and would be F32\. Convert them"),
    with_one_more: (ConfigError, r"norm\.weight_scale is no part of the model\. Convert them"),
    with_one_cut: (ConfigError, r"is \(63,\), not \(64,\)\. Convert them"),
    without: (InputError, r"lack 1 of the model's, such as .*norm\.weight\. Download"),
    in_eight_bits: (ConfigError, r"of type F8_E4M3, in which nothing can be trained\. Use"),
}


@pytest.mark.parametrize("family", tiny_families.SAVERS)
def test_weights_that_an_export_would_not_have_alike_are_refused(
    tmp_path: Path, family: str
) -> None:
    tiny_families.save(family, tmp_path)
    check_supported(tmp_path, Config())
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    name = next(name for name in weights if name.endswith("layernorm.weight"))
    for spoil, (kind, words) in FLAWS.items():
        save_file(spoil(weights, name), path, {"format": "pt"})
        with pytest.raises(kind, match=words):
            check_supported(tmp_path, Config())
    save_file(weights, path, {"format": "pt"})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"can't be read .*Download or copy them again"):
        check_supported(tmp_path, Config())
