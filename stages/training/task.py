"""What the command tells the ranks, through a JSON file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from stages.training.config import Config
from stages.training.manifest import Manifest

WORK = ".work"
"""Folder of the plan and the ranks' task, as long as training is not finished."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One attempt, as the ranks see it."""

    config: Config
    manifest: Manifest
    """Of the state to start from: at step 0, or that of the checkpoint."""
    seed: int
    model: Path
    """Folder of the policy before training."""
    plan: Path
    """Folder of the plan."""
    checkpoints: Path
    metrics: Path
    """Folder of TensorBoard events."""
    progress: Path
    """File of this attempt: a line of JSON per step, by which the command follows the ranks."""
    resume_from: Path | None
    """The checkpoint to continue; None: from the start."""

    def dump(self, path: Path) -> None:
        """Write it for `load`."""
        config, manifest = self.config.model_dump(), asdict(self.manifest)
        values = {**vars(self), "config": config, "manifest": manifest}
        path.write_text(json.dumps(values, default=str), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `dump` wrote."""
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        resume_from = values["resume_from"]
        return cls(
            config=Config.model_validate(values["config"]),
            manifest=Manifest.from_json(values["manifest"]),
            seed=values["seed"],
            model=Path(values["model"]),
            plan=Path(values["plan"]),
            checkpoints=Path(values["checkpoints"]),
            metrics=Path(values["metrics"]),
            progress=Path(values["progress"]),
            resume_from=Path(resume_from) if resume_from else None,
        )
