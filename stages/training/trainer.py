"""One rank's part of a training: policy, engine and plan, and its steps along with the others."""

import json
import math
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, distributed

from stages.seeds import seed_for
from stages.training import checkpoint
from stages.training.fingerprint import check_same, fingerprint
from stages.training.manifest import Manifest
from stages.training.measure import measure_ratio
from stages.training.meters import measure_step
from stages.training.metrics import Metrics
from stages.training.objective import Objective
from stages.training.optimizer import (
    describe_groups,
    gradient_norm,
    learning_rate,
    make_engine,
    set_learning_rate,
)
from stages.training.packing_check import check_packing
from stages.training.parts import check_frozen, describe_parts
from stages.training.plan import Plan
from stages.training.policy import Policy
from stages.training.scores import any_rank, score_plan
from stages.training.task import Task


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
    was_stopped: bool = field(init=False, default=True)
    """Before there was a state to train."""

    def __post_init__(self) -> None:
        self.plan = Plan.open(self.task.plan)
        self._load_policy()
        if self.is_stopped():
            return
        self.engine = make_engine(self.policy.language, self.task.config, self.dtype, self.device)
        if self.task.config.is_packed:
            check_packing(self.engine, self.policy, self.plan, self.dtype)
        # Until a checkpoint is loaded the policy is the one before training.
        if self.is_stopped() or not self._score():
            return
        if "before" not in self.manifest.ratio and not self.measure("before"):
            return
        if self.task.resume_from is not None:
            checkpoint.load(self.engine, self.task.resume_from)
            now = self.described().fingerprint
            check_same(self.manifest.fingerprint, now, self.dtype, str(self.task.resume_from))
        self.was_stopped = False

    def _load_policy(self) -> None:
        adapt = self._add_adapters if self.task.config.lora_rank else None
        self.policy = Policy(self.task.model, self.dtype, self.device, adapt)
        distributed.barrier()  # has more patience than the collectives that DeepSpeed begins with
        described = describe_parts(self.policy.model)
        check_frozen(self.task.manifest.parts, described)
        self.manifest = replace(self.task.manifest, parts=described)
        if self.task.config.gradient_checkpointing:
            self.policy.enable_gradient_checkpointing()

    def _score(self) -> bool:
        """What the objective compares with; False where a rank was asked to stop."""
        config, before = self.task.config, None
        if config.trains_groups:
            scored = (self.engine, self.policy, self.plan, config)
            before = score_plan(*scored, should_stop=self.stop.is_set)
            if before is None:
                return False
        self.objective = Objective(config, self.plan, before, self.dtype)
        return True

    def _add_adapters(self, model: Any) -> None:
        from stages.training.lora import add_adapters

        add_adapters(model, self.task.config, seed_for(self.task.seed, "train", "lora"))

    def measure(self, when: str) -> bool:
        """Enter the ratio pi_theta / mu of now into the manifest. All ranks call it.

        Returns:
            False where a rank was asked to stop.
        """
        of = (self.engine, self.policy, self.plan, self.task.config, self.task.seed)
        found = measure_ratio(*of, should_stop=self.stop.is_set)
        if found is not None:
            self.manifest = replace(self.manifest, ratio={**self.manifest.ratio, when: found})
        return not self.is_stopped()

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

        A step that is under way when a rank is asked to stop is given up: with long rows and many
        of them it may take longer than there is time.

        Returns:
            Whether any rank was asked to stop.
        """
        started = time.monotonic()
        step, config = self.manifest.step, self.task.config
        self.policy.vision.patches.clear()  # of images that were looked at for other reasons
        self.policy.vision.waiting.take()
        rate = learning_rate(config, step, len(self.plan.steps))
        set_learning_rate(self.engine, rate)
        # Dropout follows from the step, so that no generator's state has to be restored.
        torch.manual_seed(seed_for(self.task.seed, "train", step, distributed.get_rank()))
        summed = self.accumulate(step)
        if summed is None:
            return True
        loss, sums, largest = summed
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
            **measure_step(self.policy, self.plan, step, config, self.device),
            **drift,
        }
        finite = math.isfinite(figures["loss"]) and math.isfinite(figures["gradient_norm"])
        if not (finite and self.engine.was_step_applied()):  # DeepSpeed skips a step that is not
            raise FloatingPointError(f"step {step + 1} has no finite loss or gradient: {figures}")
        self.manifest = replace(
            self.manifest, step=step + 1, seconds=self.manifest.seconds + seconds, last_step=figures
        )
        return bool(shared[-1] > 0)

    def accumulate(self, step: int) -> tuple[Tensor, Tensor, Tensor] | None:
        """Forward and backward over this rank's micro-batches.

        Returns:
            Loss, sums and the largest of its parts of the step, as in `objective.Part`; None where
            a rank was asked to stop before the last of them.
        """
        num_ranks, spare = distributed.get_world_size(), [self.plan.shortest(self.plan.steps[step])]
        total, largest = torch.zeros(2, dtype=torch.float64, device=self.device)
        sums = torch.zeros(4, dtype=torch.float64, device=self.device)
        parts = self.micro_batches(step)
        # An empty part goes along with a row that does not count.
        numbers = [part or spare for part in parts]
        batches = self.policy.batches(self.plan, numbers, self.micro_batches(step + 1))
        stops = torch.zeros(1, device=self.device)
        for part, batch in zip(parts, batches, strict=True):
            # Asked one micro-batch ago, so that the device has work while this one waits for it.
            if stops.item():
                return None
            stops = self.count_stops()
            own = self.objective.part(step, part or spare, self.engine(batch))
            # DeepSpeed averages over the ranks, and the step's loss is their sum.
            self.engine.backward(own.loss * bool(part) * num_ranks, scale_wrt_gas=False)
            if part:
                total += own.loss.detach()
                sums += own.sums
                largest = torch.maximum(largest, own.largest)
        return total, sums, largest

    def micro_batches(self, step: int) -> list[list[int]]:
        """This rank's rows of a step; none after the last one."""
        if step == len(self.plan.steps):
            return []
        config, num_ranks = self.task.config, distributed.get_world_size()
        size, length = config.micro_batch_size, config.pack_length
        return self.plan.micro_batches(step, size, num_ranks, length)[distributed.get_rank()]

    def is_stopped(self) -> bool:
        """Whether any rank was asked to stop. All ranks call it."""
        return any_rank(self.stop.is_set(), self.device)

    def count_stops(self) -> Tensor:
        """How many ranks were asked to stop, without waiting. All ranks call it. Shape [1]."""
        stops = torch.tensor([float(self.stop.is_set())], device=self.device)
        distributed.all_reduce(stops)
        return stops

    def is_old(self, saved_at: float) -> bool:
        """Whether it is time for a checkpoint, by rank 0's clock. All ranks call it.

        Args:
            saved_at: `time.monotonic()` of the last one, or of the start.
        """
        limit = self.task.config.checkpoint_seconds
        if limit is None:
            return False
        old = torch.tensor([float(time.monotonic() - saved_at >= limit)], device=self.device)
        distributed.broadcast(old, 0)
        return bool(old.item())
