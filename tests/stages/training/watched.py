"""Ranks of which each writes down what goes through the language model, and where it stopped."""

import json
import threading
from pathlib import Path
from typing import Any

from torch import distributed, nn

from stages.training.loop import start_distributed
from stages.training.policy import LanguageModel
from stages.training.task import Task
from stages.training.trainer import Trainer


class StopAtPoll(threading.Event):
    """Is set when it is looked at so many times, and from then on."""

    def __init__(self, polls: int) -> None:
        super().__init__()
        self.polls = polls

    def is_set(self) -> bool:
        self.polls -= 1
        return self.polls < 0


def main(task_path: Path, folder: Path, polls: int) -> None:
    """Get ready and, where not stopped before, do one step."""
    lengths: list[tuple[int, ...]] = []

    def watch(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if isinstance(module, LanguageModel):
            lengths.append(arguments[0].segments.lengths)

    hook = nn.modules.module.register_module_forward_pre_hook(watch)
    task, device = Task.load(task_path), start_distributed()
    trainer = Trainer(task, device, StopAtPoll(polls))
    if not trainer.was_stopped:
        trainer.step()
    hook.remove()
    facts = {"was_stopped": trainer.was_stopped, "lengths": lengths}
    (folder / f"rank-{distributed.get_rank()}.json").write_text(json.dumps(facts))
