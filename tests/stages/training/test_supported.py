import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Gemma2Config, GraniteConfig, LlavaConfig, PretrainedConfig

from data.errors import ConfigError
from stages import train
from stages.training.config import Config
from stages.training.supported import check_supported
from tests.stages.training.runs import make_config, make_job, make_rows, write_run


def save(folder: Path, text: PretrainedConfig) -> Path:
    LlavaConfig(text_config=text).save_pretrained(folder)
    (folder / "model.safetensors").touch()
    return folder


def gemma(**changes: Any) -> Gemma2Config:
    return Gemma2Config(
        **{"attn_logit_softcapping": None, "final_logit_softcapping": None} | changes
    )


@pytest.mark.parametrize("packed", [{"pack_length": 100}, {"micro_batch_size": 2}])
def test_capped_attention_is_refused_in_packs(tmp_path: Path, packed: dict[str, int]) -> None:
    model = save(tmp_path, gemma(attn_logit_softcapping=50.0))
    with pytest.raises(ConfigError, match=r"attn_logit_softcapping = 50.*pack_length = null"):
        check_supported(model, Config(**packed))
    check_supported(model, Config())


@pytest.mark.parametrize(
    "text", [gemma(final_logit_softcapping=30.0), GraniteConfig(logits_scaling=8.0)]
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
