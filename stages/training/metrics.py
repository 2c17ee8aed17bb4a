"""What rank 0 says of every step: TensorBoard events, W&B, and lines of JSON for the command."""

import json
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import distributed
from torch.utils.tensorboard import SummaryWriter

from stages.training.flops import known_peak
from stages.training.meters import Meters
from stages.training.policy import Policy
from stages.training.task import Task

WANDB_RUN = "wandb-run"
"""Id of the W&B run, beside the plan: it goes with it when there is another training to do."""
TRAIN = ("loss", "learning_rate", "gradient_norm")
"""Figures of a step under `train/`; its rates are under `speed/`."""
POLICY_FIGURES = (
    *("clip_fraction", "kl", "mean_ratio", "largest_ratio_deviation"),
    *("mean_importance_weight", "largest_importance_weight", "importance_capped_fraction"),
    "importance_rows",
)
"""What some objectives say of a step, besides."""


class Metrics:
    """Writer of a run's training metrics. Use as a context manager.

    Args:
        folder: where TensorBoard events go, and W&B's own files.
        progress: the attempt's own file of JSON lines.
        first_step: steps done before this attempt; events of an earlier one beyond are dropped.
        meters: turns figures into rates.
        note: something to say with the first step.
        wandb: the W&B run; None: no W&B.
    """

    def __init__(
        self,
        folder: Path,
        progress: Path,
        first_step: int,
        meters: Meters,
        note: str | None = None,
        wandb: Any = None,
    ) -> None:
        self.file = progress.open("w", encoding="utf-8")
        self.board = SummaryWriter(str(folder), purge_step=first_step + 1)
        self.meters = meters
        self.note = note
        self.wandb = wandb

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.file.close()
        self.board.close()
        if self.wandb is not None:
            self.wandb.finish(exit_code=0 if kind is None else 1)

    def write(self, step: int, figures: dict[str, Any]) -> None:
        """Record a step.

        Args:
            step: 1, 2, ...
            figures: as the loop enters them into the manifest.
        """
        meters = self.meters.read(figures)
        line = {"step": step, **figures, "meters": meters, "note": self.note}
        self.note = None
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        scalars = {f"train/{name}": figures[name] for name in TRAIN}
        scalars |= {f"speed/{name}": meters[name] for name in meters if name not in TRAIN}
        scalars |= {f"policy/{name}": figures[name] for name in POLICY_FIGURES if name in figures}
        self._add(step, scalars)

    def write_ratio(self, step: int, found: dict[str, Any]) -> None:
        """Record the ratio pi_theta / mu.

        Args:
            step: steps done.
            found: what `measure_ratio` gives.
        """
        scalars = {
            f"ratio/{name}_{quantile}": value
            for name in ("log_ratio_per_sequence", "log_ratio_per_token")
            for quantile, value in found[name].items()
        }
        sizes = ("effective_sample_size", "effective_sample_size_per_token")
        scalars |= {f"ratio/{name}": found[name] for name in sizes}
        self._add(step, scalars)

    def _add(self, step: int, scalars: dict[str, float]) -> None:
        for name, value in scalars.items():
            self.board.add_scalar(name, value, step, walltime=time.time())
        if self.wandb is not None:
            self.wandb.log(scalars, step=step)


def open_metrics(
    task: Task, policy: Policy, first_step: int, dtype: torch.dtype, device: torch.device
) -> Metrics:
    """Where an attempt's steps are recorded, with MFU where the hardware's peak is known."""
    config, peak = task.config, known_peak(dtype, device)
    if config.peak_tflops is not None:
        peak = config.peak_tflops * 1e12
    note = None if peak is None else policy.work.formula(peak)
    if peak is None and device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        note = f"no MFU: the peak of {name} in {dtype} is not known; set train.peak_tflops"
    meters = Meters(distributed.get_world_size(), peak)
    wandb = None
    if config.wandb_project:
        wandb = start_wandb(config.wandb_project, task.metrics, task.plan / WANDB_RUN)
    return Metrics(task.metrics, task.progress, first_step, meters, note, wandb)


def start_wandb(project: str, folder: Path, id_file: Path) -> Any:
    """A W&B run that all attempts at a training share.

    Args:
        project: where W&B puts it.
        folder: of W&B's own files, in the run's folder, by which it is called.
        id_file: has its id, once there is one.
    """
    import wandb

    name = folder.absolute().parent.name
    if not id_file.exists():
        id_file.write_text(uuid.uuid4().hex[:8])
    return wandb.init(
        project=project, name=name, id=id_file.read_text(), resume="allow", dir=str(folder)
    )
