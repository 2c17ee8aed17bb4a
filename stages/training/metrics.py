"""What rank 0 says of every step: TensorBoard events, and lines of JSON that the command reads."""

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch.utils.tensorboard import SummaryWriter

POLICY_FIGURES = (
    *("clip_fraction", "kl", "mean_ratio", "largest_ratio_deviation"),
    *("mean_importance_weight", "largest_importance_weight", "importance_capped_fraction"),
)
"""What some objectives say of a step, besides."""


class Metrics:
    """Writer of a run's training metrics. Use as a context manager.

    Args:
        folder: where TensorBoard events go.
        progress: the attempt's own file of JSON lines.
        first_step: steps done before this attempt; events of an earlier one beyond are dropped.
    """

    def __init__(self, folder: Path, progress: Path, first_step: int) -> None:
        self.file = progress.open("w", encoding="utf-8")
        self.board = SummaryWriter(str(folder), purge_step=first_step + 1)

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

    def write(self, step: int, figures: dict[str, Any]) -> None:
        """Record a step.

        Args:
            step: 1, 2, ...
            figures: loss, learning_rate, gradient_norm, tokens, trained_tokens, seconds.
        """
        self.file.write(json.dumps({"step": step, **figures}) + "\n")
        self.file.flush()
        seconds = figures["seconds"]
        scalars = {
            "train/loss": figures["loss"],
            "train/learning_rate": figures["learning_rate"],
            "train/gradient_norm": figures["gradient_norm"],
            "speed/tokens_per_second": figures["tokens"] / seconds,
            "speed/trained_tokens_per_second": figures["trained_tokens"] / seconds,
        }
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
