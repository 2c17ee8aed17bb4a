"""The training loop: one process per rank, started by torchrun.

    python -m torch.distributed.run --standalone --nproc-per-node N -m stages.training.loop TASK

A line on standard input, or a stop signal, means: save a checkpoint and end. The end of standard
input means that the command which started the ranks is gone, and they with it.
"""

import json
import math
import os
import signal
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
from stages.training.launch import NOT_FOR_RANKS
from stages.training.measure import measure_ratio
from stages.training.meters import Stopwatch, measure_step
from stages.training.metrics import Metrics, open_metrics
from stages.training.objective import Objective
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
from stages.training.scores import score_plan
from stages.training.task import Task


def main(task_path: Path) -> None:
    """Train until the plan is done or a stop is asked for; rank 0 exports the policy."""
    task = Task.load(task_path)
    stop = threading.Event()
    signal.pthread_sigmask(signal.SIG_BLOCK, NOT_FOR_RANKS)
    threading.Thread(target=_listen, args=(stop,), daemon=True).start()
    threading.Thread(target=_wait_for_signal, args=(stop,), daemon=True).start()
    device = start_distributed()
    trainer = Trainer(task, device, stop)
    done = train(trainer)
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


def train(trainer: "Trainer") -> bool:
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
        while trainer.manifest.step < num_steps and not stopped:
            stopped = trainer.step()
            step = trainer.manifest.step
            if metrics is not None:
                metrics.write(step, trainer.manifest.last_step)
            if stopped or step % task.config.checkpoint_every == 0 or step == num_steps:
                keep, manifest = task.config.keep_checkpoints, trainer.described()
                checkpoint.save(trainer.engine, task.checkpoints, manifest, keep)
        done = trainer.manifest.step == num_steps
        if done:
            trainer.measure("after")
            if metrics is not None:
                trainer.report_ratio(metrics, "after")
    return done


@dataclass
class Trainer:
    """Policy, engine and plan of one rank, and how far the training is."""

    task: Task
    device: torch.device
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when this rank is asked to stop."""
    plan: Plan = field(init=False)
    policy: Policy = field(init=False)
    engine: Any = field(init=False)
    objective: Objective = field(init=False)
    manifest: Manifest = field(init=False)
    """Of the state at hand."""
    data_time: Stopwatch = field(init=False, default_factory=Stopwatch)
    """Time in which no batch was there to train on."""
    was_stopped: bool = field(init=False, default=False)
    """Before there was a state to train."""

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
        if config.is_packed:
            check_packing(self.engine, self.policy, self.plan, dtype)
        # Until a checkpoint is loaded the policy is the one before training.
        before = None
        if config.trains_groups:
            scored = (self.engine, self.policy, self.plan, config)
            before = score_plan(*scored, should_stop=self.stop.is_set)
            self.was_stopped = before is None
        self.objective = Objective(config, self.plan, before, dtype)
        if self.was_stopped:
            return
        if "before" not in self.manifest.ratio:
            self.measure("before")
        if self.task.resume_from is not None:
            checkpoint.load(self.engine, self.task.resume_from)
            now = self.described().fingerprint
            check_same(self.manifest.fingerprint, now, dtype, str(self.task.resume_from))

    def _add_adapters(self, model: Any) -> None:
        from stages.training.lora import add_adapters

        add_adapters(model, self.task.config, seed_for(self.task.seed, "train", "lora"))

    def measure(self, when: str) -> None:
        """Enter the ratio pi_theta / mu of now into the manifest."""
        found = measure_ratio(self.engine, self.policy, self.plan, self.task.config, self.task.seed)
        if found is not None:
            self.manifest = replace(self.manifest, ratio={**self.manifest.ratio, when: found})

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and arithmetic."""
        in_float32 = self.task.config.computes_in_float32(self.device.type == "cuda")
        return torch.float32 if in_float32 else torch.bfloat16

    def report_ratio(self, metrics: Metrics, when: str) -> None:
        """Write the ratio down, where it could be measured."""
        if (found := self.manifest.ratio.get(when)) is not None:
            metrics.write_ratio(self.manifest.step, found)
            path = self.task.metrics / "ratio.json"
            path.write_text(json.dumps(self.manifest.ratio, indent=1), encoding="utf-8")

    def described(self) -> Manifest:
        """The manifest, with what the state at hand gives. All ranks call it."""
        return replace(
            self.manifest,
            optimizer=describe_groups(self.engine, self.policy.language),
            fingerprint=fingerprint(self.engine, self.policy, self.plan, self.manifest.step),
        )

    def step(self) -> bool:
        """Do the next optimizer step and enter it into the manifest.

        Returns:
            Whether any rank was asked to stop.
        """
        started = time.monotonic()
        step, config = self.manifest.step, self.task.config
        self.policy.patches.clear()  # of images that were looked at for other reasons
        rate = learning_rate(config, step, len(self.plan.steps))
        set_learning_rate(self.engine, rate)
        # Dropout follows from the step, so that no generator's state has to be restored.
        torch.manual_seed(seed_for(self.task.seed, "train", step, distributed.get_rank()))
        loss, sums, largest = self.accumulate(step)
        shared = torch.cat([loss[None], sums, sums.new_tensor([float(self.stop.is_set())])])
        distributed.all_reduce(shared)
        distributed.all_reduce(largest, distributed.ReduceOp.MAX)
        drift = self.objective.figures(step, shared[1:-1], float(largest))
        self.engine.step()
        seconds = time.monotonic() - started
        figures = {
            "loss": float(shared[0]),
            "learning_rate": rate,
            "gradient_norm": gradient_norm(self.engine),
            "tokens": self.plan.num_tokens(step),
            "trained_tokens": self.plan.num_targets(step),
            "rows": len(self.plan.steps[step]),
            "seconds": seconds,
            **measure_step(
                self.policy, self.plan, step, config, self.device, self.data_time.take()
            ),
            **drift,
        }
        finite = math.isfinite(figures["loss"]) and math.isfinite(figures["gradient_norm"])
        if not (finite and self.engine.was_step_applied()):  # DeepSpeed skips a step that is not
            raise FloatingPointError(f"step {step + 1} has no finite loss or gradient: {figures}")
        self.manifest = replace(
            self.manifest, step=step + 1, seconds=self.manifest.seconds + seconds, last_step=figures
        )
        return bool(shared[-1] > 0)

    def accumulate(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Forward and backward over this rank's micro-batches.

        Returns:
            Loss, sums and the largest of its parts of the step, as in `objective.Part`.
        """
        config, rank, num_ranks = (
            self.task.config,
            distributed.get_rank(),
            distributed.get_world_size(),
        )
        rows = self.plan.steps[step]
        total, largest = torch.zeros(2, dtype=torch.float64, device=self.device)
        sums = torch.zeros(4, dtype=torch.float64, device=self.device)
        dealt = self.plan.micro_batches(
            step, config.micro_batch_size, num_ranks, config.pack_length
        )
        for part in dealt[rank]:
            # An empty part goes along with a row that does not count.
            with self.data_time:
                batch = self.policy.batch(self.plan, part or rows[:1])
            own = self.objective.part(step, part or rows[:1], self.engine(batch))
            # DeepSpeed averages over the ranks, and the step's loss is their sum.
            self.engine.backward(own.loss * bool(part) * num_ranks, scale_wrt_gas=False)
            if part:
                total += own.loss.detach()
                sums += own.sums
                largest = torch.maximum(largest, own.largest)
        return total, sums, largest


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
    main(Path(sys.argv[1]))
    # At an ordinary exit the threads of the collectives sometimes abort the process, and torchrun
    # would then end the rank that still writes the policy.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
