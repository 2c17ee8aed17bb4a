"""The trained policy in Hugging Face layout: the base model's folder with other weights."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, distributed, nn
from transformers import AutoModelForImageTextToText, GenerationConfig

from data.errors import EngineError
from stages.training.checkpoint import move_into_place
from stages.training.config import Config
from stages.training.export_check import check_words, load_again, portray
from stages.training.manifest import Manifest
from stages.training.plan import Plan
from stages.training.tensor_facts import differing, tensor_facts

WEIGHT_SUFFIXES = {".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".gguf", ".onnx"}
INDEX_SUFFIX = ".index.json"


def gather_weights(engine: Any) -> dict[str, Tensor] | None:
    """The trained weights under the names of the whole model, on rank 0; None on the others.

    All ranks call it.

    Raises:
        EngineError: one is missing.
    """
    if engine.zero_optimization_partition_weights():
        state = engine._zero3_consolidated_16bit_state_dict(exclude_frozen_parameters=True)
    else:
        state = engine.module.state_dict()
    if distributed.get_rank() != 0:
        return None
    return trained_weights(engine.module, state)


def trained_weights(language: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that train, all of them and no others, under the names of the whole model.

    Args:
        language: what DeepSpeed trains.
        state: what it gives back of that.

    Raises:
        EngineError: it lacks one, which an export would have from the base model.
    """
    named = language.named_parameters(remove_duplicate=False)
    trained = {name for name, each in named if each.requires_grad}
    if missing := sorted(trained - state.keys()):
        raise EngineError(
            f"DeepSpeed gave {len(missing)} of {len(trained)} trained weights not back, such as "
            f"{missing[0]}.",
            "Install a version of DeepSpeed that pyproject.toml allows, and run the same command "
            "again, which exports the last checkpoint.",
        )
    prefix = "language_model."
    return {
        f"model.{name}" if name.startswith(prefix) else name: tensor.detach().cpu()
        for name, tensor in state.items()
        if name in trained
    }


def export(
    base: Path,
    weights: Mapping[str, Tensor],
    target: Path,
    manifest: Manifest,
    plan: Plan,
    config: Config | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Write the policy, complete or not at all.

    Frozen weights, names, types and every other file are the base model's own: weights are loaded
    into a fresh copy of it, and its tokenizer, processor, chat template and configuration are
    copied byte for byte. Adapters are merged, and lie in a folder of their own in peft's format.
    Before it gets its name it is loaded anew and compared with what was trained.

    Args:
        base: the folder training started from.
        weights: what training changed.
        target: where it goes.
        manifest: how it came about.
        plan: has a prompt by which the two are compared.
        config: what it was trained with; without LoRA it makes no difference.
        should_stop: is asked between its phases, each of which takes minutes for large models.

    Returns:
        False where it was stopped first.

    Raises:
        EngineError: what was written is not what was trained.
    """
    phases = _phases(base, weights, target, manifest, plan, config)
    return not any(should_stop() for _ in phases)


def _phases(
    base: Path,
    weights: Mapping[str, Tensor],
    target: Path,
    manifest: Manifest,
    plan: Plan,
    config: Config | None,
) -> Iterator[None]:
    """What `export` does, with a look around between its phases."""
    temporary = target.with_name(f".{target.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    model = AutoModelForImageTextToText.from_pretrained(base, dtype="auto")
    if config is not None and config.lora_rank:
        from stages.training import lora

        lora.save_adapter(temporary / lora.FOLDER, base, model, weights, config)
        model = lora.merge(model, temporary / lora.FOLDER)
    elif unknown := model.load_state_dict(weights, strict=False).unexpected_keys:
        raise RuntimeError(f"The base model has no weights named {', '.join(unknown)}")
    yield
    # The base's own may be one that transformers refuses to write; its file is copied below.
    model.generation_config = GenerationConfig()
    trained, tied = portray(model, base, plan), set(model.all_tied_weights_keys)
    yield
    model.save_pretrained(temporary)
    del model
    yield
    for path in temporary.iterdir():
        if path.is_file() and not is_weights(path):
            path.unlink()
    for path in base.iterdir():
        if path.is_file() and not is_weights(path) and not path.name.startswith("."):
            shutil.copyfile(path, temporary / path.name)
    check_weights(base, temporary, tied)
    exported = load_again(temporary, trained)
    yield
    check_words(exported, temporary, trained, plan)
    words = {"greedy_tokens": trained.tokens, "asked_on": trained.device and trained.device.type}
    replace(manifest, exported=words).dump(temporary)
    yield
    for path in filter(Path.is_file, temporary.rglob("*")):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    move_into_place(temporary, target)


def is_weights(path: Path) -> bool:
    """Whether a file of a model's folder holds weights, or says where they lie."""
    return path.suffix in WEIGHT_SUFFIXES or path.name.endswith(INDEX_SUFFIX)


def check_weights(base: Path, exported: Path, tied: set[str]) -> None:
    """Compare names, shapes and types of all tensors with the base model's.

    Args:
        base: the model that training started from.
        exported: what was written.
        tied: names that may be left out, being the same tensor as another one.
    """
    if names := differing(tensor_facts(base), tensor_facts(exported), tied):
        raise RuntimeError(f"The export differs from the base model in {names[:5]}")
