"""LoRA (arXiv 2106.09685, Eq. 3): h = W x + alpha / r B A x, where only A and B train.

Adapters sit on linear layers of the language model, and nowhere else: never on vision tower,
projector, embeddings or head. They are peft's: in training, on disk and when they are merged.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, inject_adapter_in_model
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForImageTextToText

from data.errors import ConfigError
from stages.training.config import Config

BACKBONE = "model.language_model."
FOLDER = "adapter"
"""Where the adapter lies in the folder of the policy."""
NAME = "default"
"""What peft calls an adapter in a model."""


def target_modules(model: nn.Module, names: tuple[str, ...]) -> list[str]:
    """The linear layers of the language model that get an adapter, by their whole names.

    Args:
        model: the whole model.
        names: last parts of their names; none: all of them.

    Raises:
        ConfigError: the language model has no linear layer of one of these names.
    """
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(BACKBONE)
    ]
    known = sorted({name.rpartition(".")[2] for name in linear})
    if unknown := set(names).difference(known):
        raise ConfigError(
            f"train.lora_targets names {sorted(unknown)[0]!r}, which is no linear layer of the "
            "language model.",
            f"It has {', '.join(known)}.",
        )
    return [name for name in linear if not names or name.rpartition(".")[2] in names]


def peft_config(config: Config, targets: list[str], base: Path | None = None) -> LoraConfig:
    """The adapter as peft describes it; layers are named by a pattern that matches them alone."""
    names = "|".join(sorted({re.escape(name.rpartition(".")[2]) for name in targets}))
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=rf"{re.escape(BACKBONE)}.*\.({names})",
        base_model_name_or_path=None if base is None else str(base),
    )


def add_adapters(model: Any, config: Config, seed: int) -> None:
    """Put adapters into a frozen model, all of whose other weights stay frozen.

    Args:
        model: the whole model.
        config: rank, alpha, dropout and targets.
        seed: A is drawn at random, alike on all ranks; B is zero.
    """
    targets = target_modules(model, config.lora_targets)
    torch.manual_seed(seed)
    inject_adapter_in_model(peft_config(config, targets), model, adapter_name=NAME)
    trained = {name for name, each in model.named_parameters() if each.requires_grad}
    expected = {f"{name}.lora_{part}.{NAME}.weight" for name in targets for part in "AB"}
    if trained != expected:
        raise RuntimeError(f"other weights than the adapters': {sorted(trained ^ expected)[:5]}")


def save_adapter(
    folder: Path, base: Path, model: nn.Module, weights: Mapping[str, Tensor], config: Config
) -> None:
    """Write an adapter as peft does.

    Args:
        folder: where it goes.
        base: the policy that it belongs to.
        model: the same, without adapters.
        weights: the adapters' weights, by their names in the whole model.
        config: as it was trained with.
    """
    folder.mkdir(parents=True)
    peft_config(config, target_modules(model, config.lora_targets), base).save_pretrained(
        str(folder)
    )
    named = {
        f"base_model.model.{name.replace(f'.{NAME}.', '.')}": tensor.contiguous()
        for name, tensor in weights.items()
    }
    save_file(named, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def merge(model: nn.Module, folder: Path) -> nn.Module:
    """The model with an adapter added to its weights."""
    merged: nn.Module = PeftModel.from_pretrained(model, str(folder)).merge_and_unload(
        safe_merge=True
    )
    return merged


def check_targets(folder: Path, config: Config) -> None:
    """Look before any rank is started whether a policy has the layers that are to be adapted.

    Raises:
        ConfigError: it has not.
    """
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(folder))
    target_modules(model, config.lora_targets)
