"""Figures of a step for people: how fast, how full, how much memory, how much of the hardware."""

import resource
import statistics
import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import distributed

from stages.training.config import Config
from stages.training.plan import Plan

if TYPE_CHECKING:
    from stages.training.policy import Policy

GIB = 2**30
WINDOW = 100
"""Steps over which the quantiles of the step time are taken."""


class Stopwatch:
    """Seconds spent within its blocks. Use as a context manager, again and again."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.seconds += time.monotonic() - self._start

    def take(self) -> float:
        """The seconds so far; the next ones count from zero."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


def peak_bytes(device: torch.device) -> int:
    """Most memory this rank has held: of its GPU, or of the process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_step(
    policy: "Policy", plan: Plan, step: int, config: Config, device: torch.device
) -> dict[str, Any]:
    """What a step took, of all ranks, which all call it.

    Args:
        policy: knows its arithmetic, what it has looked at in the step and how long it waited.
        plan: the rows.
        step: which step.
        config: the length of packs.
        device: where this rank computes.
    """
    most = torch.tensor(
        [policy.vision.waiting.take(), peak_bytes(device)],
        dtype=torch.float64,
        device=device,
    )
    distributed.all_reduce(most, distributed.ReduceOp.MAX)
    seen = torch.tensor(policy.work.operations([], 0, policy.vision.patches), device=device)
    distributed.all_reduce(seen)
    rows = plan.steps[step]
    language = policy.work.operations([plan.lengths[row] for row in rows], plan.num_targets(step))
    return {
        "images": sum(plan.image_counts[row] for row in rows),
        "pack_fill": plan.pack_fill(step, config.pack_length),
        "data_seconds": float(most[0]),
        "peak_bytes": int(most[1]),
        "operations": language + float(seen),
    }


class Meters:
    """Turns what a step did into rates.

    Args:
        num_ranks: how many worked on it.
        peak: operations per second of a rank's GPU; None: not known, and no MFU.
    """

    def __init__(self, num_ranks: int, peak: float | None) -> None:
        self.num_ranks = num_ranks
        self.peak = peak
        self.seconds: deque[float] = deque(maxlen=WINDOW)

    def read(self, figures: dict[str, Any]) -> dict[str, float]:
        """Rates of a step. What ends in `_rate` is a share of one.

        Args:
            figures: as the loop enters them into the manifest.
        """
        seconds = figures["seconds"]
        self.seconds.append(seconds)
        ordered = sorted(self.seconds)
        found = {
            "loss": figures["loss"],
            "gradient_norm": figures["gradient_norm"],
            "tokens_per_second": figures["tokens"] / seconds,
            "trained_tokens_per_second": figures["trained_tokens"] / seconds,
            "images_per_second": figures["images"] / seconds,
            "data_wait_rate": figures["data_seconds"] / seconds,
            "step_seconds_p50": statistics.median(ordered),
            "step_seconds_p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
            "peak_gib": figures["peak_bytes"] / GIB,
        }
        if figures["pack_fill"] is not None:
            found["pack_fill_rate"] = figures["pack_fill"]
        if self.peak is not None:
            found["mfu_rate"] = figures["operations"] / (seconds * self.num_ranks * self.peak)
        return found
