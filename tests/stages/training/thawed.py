"""Ranks in which a frozen weight is another one when all steps are done."""

from pathlib import Path

import torch

from stages.training.loop import finish, start_distributed, train
from stages.training.task import Task
from stages.training.trainer import Trainer


def main(task_path: Path) -> None:
    trainer = Trainer(Task.load(task_path), start_distributed())
    assert train(trainer)
    with torch.no_grad():
        next(trainer.policy.model.model.multi_modal_projector.parameters()).add_(1e-3)
    finish(trainer)
