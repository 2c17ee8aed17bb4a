"""Ranks that fail or end as the name of their task's file says."""

import os
import runpy
import signal
import sys
from pathlib import Path


def raise_before_joining(task: Path) -> None:
    try:
        (task.parent / "nothing").read_text()
    except FileNotFoundError as error:
        raise OSError(28, "No space left on device") from error


def raise_first(task: Path) -> None:
    from torch import distributed

    from stages.training.loop import start_distributed

    start_distributed()
    if distributed.get_rank() == 1:
        raise ValueError("This one came first.")
    distributed.barrier()


def be_killed(task: Path) -> None:
    from torch import distributed

    from stages.training.loop import start_distributed

    start_distributed()
    if distributed.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    distributed.barrier()


def have_one_device(task: Path) -> None:
    import torch

    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: 1
    runpy.run_module("stages.training.loop", run_name="__main__")


def leave(task: Path) -> None:
    (task.parent / "torchrun").write_text(str(os.getppid()))


if __name__ == "__main__":
    globals()[Path(sys.argv[1]).stem](Path(sys.argv[1]))
