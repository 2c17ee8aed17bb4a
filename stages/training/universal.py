"""DeepSpeed's universal checkpoints: a file per weight, which any number of ranks can load.

DeepSpeed converts and loads them; what it gets wrong on the way, in 0.19.8, is put right here.
"""

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from deepspeed.checkpoint import ds_to_universal

TAG = "state"


def convert(source: Path, target: Path) -> None:
    """Write a checkpoint of any number of ranks as a universal one.

    Args:
        source: DeepSpeed's folder, with the files of all ranks.
        target: where the universal checkpoint goes; there once it is complete.
    """
    temporary = target.with_name(f"{target.name}-unfinished")
    ds_to_universal.main(
        Namespace(
            input_folder=str(source),
            output_folder=str(temporary / TAG),
            num_extract_workers=1,
            num_merge_workers=1,
            keep_temp_folder=False,
            strict=True,
            inject_missing_state=True,  # ZeRO-2 does not say that nothing is tensor-parallel
        )
    )
    temporary.rename(target)


def is_universal(path: Path) -> bool:
    """Whether a checkpoint is a universal one."""
    return (path / TAG / "zero").is_dir()


def load(engine: Any, path: Path, is_whole: bool) -> None:
    """Restore weights and optimizer from a universal checkpoint of the same ZeRO stage.

    ZeRO-3 gives all parameter groups the settings of the first one, so that norms would decay, and
    one step counter, which each group would advance.

    Args:
        engine: the DeepSpeed engine.
        path: the checkpoint.
        is_whole: whether it has all weights of the engine's module.
    """
    groups = [dict(group) for group in engine.optimizer.param_groups]
    engine._config.load_universal_checkpoint = True
    try:
        found, _ = engine.load_checkpoint(str(path), tag=TAG, load_module_strict=is_whole)
    finally:
        engine._config.load_universal_checkpoint = False
    if found is None:
        raise RuntimeError(f"DeepSpeed did not load {path}")
    for group, before in zip(engine.optimizer.param_groups, groups, strict=True):
        group.update({name: value for name, value in before.items() if name != "params"})
    for state in engine.optimizer.optimizer.state.values():
        device = state["exp_avg"].device
        state["step"] = torch.as_tensor(state["step"], dtype=torch.float32).to(device, copy=True)
