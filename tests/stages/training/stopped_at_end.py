"""Ranks that are asked to stop when all steps are done, before the policy is exported."""

from pathlib import Path

from stages.training.loop import finish, start_distributed, train
from stages.training.task import Task
from stages.training.trainer import Trainer


def main(task_path: Path) -> None:
    trainer = Trainer(Task.load(task_path), start_distributed())
    assert train(trainer)
    trainer.stop.set()
    finish(trainer)
