"""Ranks that train at each ZeRO stage, once undisturbed and once from a checkpoint in between."""

import json
from dataclasses import replace
from pathlib import Path

from stages.training import checkpoint
from stages.training.export import gather_weights
from stages.training.loop import start_distributed
from stages.training.task import Task
from stages.training.trainer import Trainer

LAYOUTS = [(0, "float32"), (2, "float32"), (2, "bfloat16"), (3, "float32"), (3, "bfloat16")]
"""ZeRO stage and arithmetic."""
NUM_STEPS = 4


def main(task_path: Path, folder: Path) -> None:
    task, device = Task.load(task_path), start_distributed()
    for zero_stage, dtype in LAYOUTS:
        config = task.config.model_copy(update={"zero_stage": zero_stage, "dtype": dtype})
        task = replace(task, config=config, checkpoints=folder / f"{zero_stage}-{dtype}")
        undisturbed, stopped = Trainer(task, device), Trainer(task, device)
        for _ in range(NUM_STEPS):
            undisturbed.step()
        for _ in range(NUM_STEPS // 2):
            stopped.step()
        saved = checkpoint.save(stopped.engine, task.checkpoints, stopped.described(), keep=1)
        resumed = Trainer(replace(task, manifest=stopped.described(), resume_from=saved), device)
        for _ in range(NUM_STEPS - NUM_STEPS // 2):
            resumed.step()
        weights = [gather_weights(trainer.engine) for trainer in (undisturbed, resumed)]
        if weights[0] is not None and weights[1] is not None:
            assert weights[0].keys() == weights[1].keys()
            apart = [(weights[0][name] - weights[1][name]).abs().max() for name in weights[0]]
            facts = {
                "names": sorted(weights[0]),
                "difference": float(max(apart)),
                "bytes": sum(path.stat().st_size for path in saved.rglob("*.pt")),
            }
            task.checkpoints.with_suffix(".json").write_text(json.dumps(facts))
