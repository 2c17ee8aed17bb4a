"""The training loop: one process per rank, started by torchrun.

    python -m torch.distributed.run --standalone --nproc-per-node N -m stages.training.loop TASK

A line on standard input means: save a checkpoint and end. The end of standard input means that
the command which started the ranks is gone, and they with it.
"""

import math
import os
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

if not torch.cuda.is_available():
    os.environ["DS_ACCELERATOR"] = "cpu"  # read when DeepSpeed is imported

import deepspeed
from torch import distributed

from stages.seeds import seed_for
from stages.training import checkpoint
from stages.training.checkpoint import Manifest
from stages.training.export import export, gather_weights
from stages.training.fingerprint import check_same, fingerprint
from stages.training.loss import ResponseTokens, denominator, summed_loss
from stages.training.metrics import Metrics
from stages.training.optimizer import (
    describe_groups,
    gradient_norm,
    learning_rate,
    make_engine,
    set_learning_rate,
)
from stages.training.packing_check import check_packing
from stages.training.parts import check_frozen, describe_parts, frozen_digest
from stages.training.plan import Plan
from stages.training.policy import Policy
from stages.training.task import Task


def main(task_path: Path) -> None:
    """Train until the plan is done or a stop is asked for; rank 0 exports the policy."""
    task = Task.load(task_path)
    stop = threading.Event()
    threading.Thread(target=_listen, args=(stop,), daemon=True).start()
    device = start_distributed()
    trainer = Trainer(task, device)
    done = train(trainer, stop)
    if done:
        check_frozen(trainer.manifest.parts, frozen_digest(trainer.policy.model))
    weights = gather_weights(trainer.engine) if done else None
    distributed.barrier()
    if weights is not None:
        manifest = replace(trainer.manifest, files={})
        export(task.model, weights, task.checkpoints / checkpoint.FINAL, manifest, task.config)


def start_distributed() -> torch.device:
    """Join the other ranks; where this one computes."""
    if not torch.cuda.is_available():
        # DeepSpeed would compile a collective for inference, which takes a minute.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        deepspeed.init_distributed("gloo", verbose=False)
        return torch.device("cpu")
    local_rank = int(os.environ["LOCAL_RANK"])
    torch.cuda.set_device(local_rank)
    deepspeed.init_distributed("nccl", verbose=False)
    return torch.device("cuda", local_rank)


def train(trainer: "Trainer", stop: threading.Event) -> bool:
    """Run the steps that are left, with checkpoints.

    Returns:
        Whether the last one is done.
    """
    task, num_steps = trainer.task, len(trainer.plan.steps)
    first = distributed.get_rank() == 0
    with (
        Metrics(task.metrics, task.progress, trainer.manifest.step)
        if first
        else nullcontext() as metrics
    ):
        stopped = False
        while trainer.manifest.step < num_steps and not stopped:
            stopped = trainer.step(stop.is_set())
            step = trainer.manifest.step
            if metrics is not None:
                metrics.write(step, trainer.manifest.last_step)
            if stopped or step % task.config.checkpoint_every == 0 or step == num_steps:
                keep, manifest = task.config.keep_checkpoints, trainer.described()
                checkpoint.save(trainer.engine, task.checkpoints, manifest, keep)
    return trainer.manifest.step == num_steps


@dataclass
class Trainer:
    """Policy, engine and plan of one rank, and how far the training is."""

    task: Task
    device: torch.device
    plan: Plan = field(init=False)
    policy: Policy = field(init=False)
    engine: Any = field(init=False)
    manifest: Manifest = field(init=False)
    """Of the state at hand."""

    def __post_init__(self) -> None:
        config, dtype = self.task.config, self.dtype
        self.plan = Plan.open(self.task.plan)
        adapt = self._add_adapters if config.lora_rank else None
        self.policy = Policy(self.task.model, dtype, self.device, adapt)
        described = describe_parts(self.policy.model)
        check_frozen(self.task.manifest.parts, described["frozen_sha256"])
        self.manifest = replace(self.task.manifest, parts=described)
        if config.gradient_checkpointing:
            self.policy.enable_gradient_checkpointing()
        self.engine = make_engine(self.policy.language, config, dtype, self.device)
        if self.task.resume_from is not None:
            checkpoint.load(self.engine, self.task.resume_from)
        if config.is_packed:
            check_packing(self.engine, self.policy, self.plan, dtype)
        if self.task.resume_from is not None:
            now = self.described().fingerprint
            check_same(self.manifest.fingerprint, now, dtype, str(self.task.resume_from))

    def _add_adapters(self, model: Any) -> None:
        from stages.training.lora import add_adapters

        add_adapters(model, self.task.config, seed_for(self.task.seed, "train", "lora"))

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and arithmetic."""
        in_float32 = self.task.config.computes_in_float32(self.device.type == "cuda")
        return torch.float32 if in_float32 else torch.bfloat16

    def described(self) -> Manifest:
        """The manifest, with what the state at hand gives. All ranks call it."""
        return replace(
            self.manifest,
            optimizer=describe_groups(self.engine, self.policy.language),
            fingerprint=fingerprint(self.engine, self.policy, self.plan, self.manifest.step),
        )

    def step(self, stop: bool) -> bool:
        """Do the next optimizer step and enter it into the manifest.

        Args:
            stop: whether this rank was asked to stop.

        Returns:
            Whether any rank was.
        """
        started = time.monotonic()
        step, config = self.manifest.step, self.task.config
        rate = learning_rate(config, step, len(self.plan.steps))
        set_learning_rate(self.engine, rate)
        # Dropout follows from the step, so that no generator's state has to be restored.
        torch.manual_seed(seed_for(self.task.seed, "train", step, distributed.get_rank()))
        loss = self.accumulate(step)
        self.engine.step()
        shared = torch.tensor([loss, float(stop)], dtype=torch.float64, device=self.device)
        distributed.all_reduce(shared)
        seconds = time.monotonic() - started
        figures = {
            "loss": float(shared[0]),
            "learning_rate": rate,
            "gradient_norm": gradient_norm(self.engine),
            "tokens": self.plan.num_tokens(step),
            "trained_tokens": self.plan.num_targets(step),
            "rows": len(self.plan.steps[step]),
            "seconds": seconds,
        }
        finite = math.isfinite(figures["loss"]) and math.isfinite(figures["gradient_norm"])
        if not (finite and self.engine.was_step_applied()):  # DeepSpeed skips a step that is not
            raise FloatingPointError(f"step {step + 1} has no finite loss or gradient: {figures}")
        self.manifest = replace(
            self.manifest, step=step + 1, seconds=self.manifest.seconds + seconds, last_step=figures
        )
        return bool(shared[1] > 0)

    def accumulate(self, step: int) -> float:
        """Forward and backward over this rank's micro-batches; its part of the step's loss."""
        config, rank, num_ranks = (
            self.task.config,
            distributed.get_rank(),
            distributed.get_world_size(),
        )
        rows = self.plan.steps[step]
        divisor = denominator(config.normalize, self.plan.num_targets(step), len(rows))
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        dealt = self.plan.micro_batches(
            step, config.micro_batch_size, num_ranks, config.pack_length
        )
        for part in dealt[rank]:
            # An empty part goes along with a row that does not count.
            batch = self.policy.batch(self.plan, part or rows[:1])
            tokens = ResponseTokens(logprob_T=self.engine(batch), reward_T=batch.reward_T)
            loss = summed_loss(config.objective, tokens, divisor) * bool(part)
            # DeepSpeed averages over the ranks, and the step's loss is their sum.
            self.engine.backward(loss * num_ranks, scale_wrt_gas=False)
            total += loss.detach()
        return float(total)


def _listen(stop: threading.Event) -> None:
    """Wait for the command to ask for a stop, or to vanish."""
    while os.read(0, 1):
        stop.set()
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    # At an ordinary exit the threads of the collectives sometimes abort the process, and torchrun
    # would then end the rank that still writes the policy.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
