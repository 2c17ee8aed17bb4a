"""The training loop: one process per rank, started by torchrun.

    python -m torch.distributed.run --standalone --nproc-per-node N -m stages.training.loop TASK

A line on standard input, or a stop signal, means: save a checkpoint and end. The end of standard
input means that the command which started the ranks is gone, and they with it.
"""

import os
import signal
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch

if not torch.cuda.is_available():
    os.environ["DS_ACCELERATOR"] = "cpu"  # read when DeepSpeed is imported

import deepspeed
from torch import distributed

from stages.training import checkpoint
from stages.training.export import export, gather_weights
from stages.training.failure import passed_on
from stages.training.launch import NOT_FOR_RANKS, require_devices
from stages.training.metrics import open_metrics
from stages.training.parts import check_frozen, frozen_digests
from stages.training.task import Task
from stages.training.trainer import Trainer


def main(task_path: Path) -> None:
    """Train until the plan is done or a stop is asked for; rank 0 exports the policy."""
    task = Task.load(task_path)
    stop = threading.Event()
    signal.pthread_sigmask(signal.SIG_BLOCK, NOT_FOR_RANKS)
    threading.Thread(target=_listen, args=(stop,), daemon=True).start()
    threading.Thread(target=_wait_for_signal, args=(stop,), daemon=True).start()
    device = start_distributed()
    trainer = Trainer(task, device, stop)
    if train(trainer):
        finish(trainer)
    else:
        distributed.barrier()


def start_distributed() -> torch.device:
    """Join the other ranks; where this one computes."""
    if not torch.cuda.is_available():
        # DeepSpeed would compile a collective for inference, which takes a minute.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        deepspeed.init_distributed("gloo", verbose=False)
        return torch.device("cpu")
    require_devices(int(os.environ["LOCAL_WORLD_SIZE"]))  # which every node has to have
    local_rank = int(os.environ["LOCAL_RANK"])
    torch.cuda.set_device(local_rank)
    deepspeed.init_distributed("nccl", verbose=False)
    return torch.device("cuda", local_rank)


def train(trainer: Trainer) -> bool:
    """Run the steps that are left, with checkpoints.

    Returns:
        Whether the last one is done.
    """
    if trainer.was_stopped:
        return False
    task, num_steps = trainer.task, len(trainer.plan.steps)
    first = distributed.get_rank() == 0
    at = (trainer.manifest.step, trainer.dtype, trainer.device)
    with open_metrics(task, trainer.policy, *at) if first else nullcontext() as metrics:
        stopped = False
        if metrics is not None and trainer.manifest.step == 0:
            trainer.report_ratio(metrics, "before")
        done = saved = trainer.manifest.step
        saved_at = time.monotonic()
        while done < num_steps and not stopped:
            stopped = trainer.step()
            if metrics is not None and trainer.manifest.step > done:
                metrics.write(trainer.manifest.step, trainer.manifest.last_step)
            done = trainer.manifest.step
            is_due = stopped or done % task.config.checkpoint_every == 0 or done == num_steps
            is_due |= trainer.is_old(saved_at)  # asked by all ranks, or they would wait for ever
            if is_due and done > saved:
                keep, manifest = task.config.keep_checkpoints, trainer.described()
                checkpoint.save(trainer.engine, task.checkpoints, manifest, keep)
                saved, saved_at = done, time.monotonic()
        if done == num_steps:
            if not trainer.measure("after"):
                return False
            if metrics is not None:
                trainer.report_ratio(metrics, "after")
    return done == num_steps


def finish(trainer: Trainer) -> None:
    """Have rank 0 export the trained policy. All ranks call it.

    A stop leaves that to the next attempt, which finds the last step's checkpoint.
    """
    check_frozen(trainer.manifest.parts, frozen_digests(trainer.policy.model))
    weights = gather_weights(trainer.engine)
    distributed.barrier()
    if weights is not None:
        task, manifest = trainer.task, replace(trainer.manifest, files={})
        final, should_stop = task.checkpoints / checkpoint.FINAL, trainer.stop.is_set
        export(task.model, weights, final, manifest, trainer.plan, task.config, should_stop)


def _listen(stop: threading.Event) -> None:
    """Wait for the command to ask for a stop, or to vanish."""
    while os.read(0, 1):
        stop.set()
    os._exit(1)


def _wait_for_signal(stop: threading.Event) -> None:
    """On several nodes Slurm tells the ranks alone that their time is over."""
    signal.sigwait(NOT_FOR_RANKS)
    stop.set()


if __name__ == "__main__":
    with passed_on():
        main(Path(sys.argv[1]))
    # At an ordinary exit the threads of the collectives sometimes abort the process, and torchrun
    # would then end the rank that still writes the policy.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
