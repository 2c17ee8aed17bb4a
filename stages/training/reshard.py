"""Turn a checkpoint into one for the ranks that are here, started by torchrun.

    python -m torch.distributed.run --standalone --nproc-per-node N -m stages.training.reshard TASK

The task names the checkpoint. Rank 0 converts it to a universal one; then all ranks load that,
check that it is the state that was saved, and save it as their own, in the place of the other.
"""

import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from torch import distributed

from stages.training import checkpoint
from stages.training.failure import passed_on
from stages.training.loop import start_distributed
from stages.training.task import Task
from stages.training.trainer import Trainer
from stages.training.universal import convert

POLL_SECONDS = 0.2


def main(task_path: Path) -> None:
    """Reshard, and leave the old checkpoint as it is until the new one is there."""
    threading.Thread(target=_listen, daemon=True).start()
    task = Task.load(task_path)
    assert task.resume_from is not None
    source = task.resume_from
    if task.config.zero_stage:  # at stage 0 every rank holds everything
        source = checkpoint.scratch(task.resume_from)
        if os.environ["RANK"] == "0":
            convert(task.resume_from / checkpoint.TAG, source)
        while not source.exists():  # before any collective, which would time out
            time.sleep(POLL_SECONDS)
    trainer = Trainer(replace(task, resume_from=source), start_distributed())
    manifest = replace(task.manifest, num_ranks=distributed.get_world_size())
    checkpoint.save(trainer.engine, task.checkpoints, manifest, task.config.keep_checkpoints)


def _listen() -> None:
    """End with the command, and when it is asked to stop: there is nothing half done to keep."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    with passed_on():
        main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # as in the loop
