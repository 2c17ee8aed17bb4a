"""What rank 0 says of every step: TensorBoard events, and lines of JSON that the command reads."""

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch.utils.tensorboard import SummaryWriter

from stages.training.task import PROGRESS_FILE


class Metrics:
    """Writer of a run's training metrics. Use as a context manager.

    Args:
        folder: the run's `metrics/`.
        first_step: steps done before this attempt; what an earlier one wrote beyond is dropped.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = (folder / PROGRESS_FILE).open("a", encoding="utf-8")
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
        for name, value in scalars.items():
            self.board.add_scalar(name, value, step, walltime=time.time())
