"""Ranks that take one step for each way to split it, and save the gradients they took."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from deepspeed.utils import safe_get_full_optimizer_state
from torch import Tensor, distributed

from stages.training.loop import start_distributed
from stages.training.task import Task
from stages.training.trainer import Trainer

ADAM_BETA1 = 0.9


def gradient(engine: Any, parameter: Tensor) -> Tensor:
    """After one step, AdamW's first moment is the gradient times 1 - beta1."""
    if engine.zero_optimization():
        moment = safe_get_full_optimizer_state(parameter, "exp_avg")
    else:
        moment = engine.optimizer.state[parameter]["exp_avg"]
    return moment.detach().clone() / (1 - ADAM_BETA1)


def main(task_path: Path, folder: Path, splits: list[str]) -> None:
    task, device = Task.load(task_path), start_distributed()
    for split in splits:
        config = task.config.model_copy(update=json.loads(split))
        trainer = Trainer(replace(task, config=config), device)
        trainer.step()
        if config.zero_stage == 2:
            # DeepSpeed links the moments when only the first parameter group has any.
            trainer.engine.optimizer._hp_optimizer_states_linked = False
            trainer.engine.optimizer._lazy_init_hp_params_optimizer_state()
        gradients = {
            name: gradient(trainer.engine, parameter)
            for name, parameter in trainer.policy.language.named_parameters()
            if parameter.requires_grad
        }
        if distributed.get_rank() == 0:
            torch.save(
                (trainer.manifest.last_step, gradients), folder / f"{splits.index(split)}.pt"
            )
