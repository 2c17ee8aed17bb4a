"""A rank that takes optimizer steps, in turns with a bare loop over the same packs.

The bare loop runs forward and backward over batches that lie ready: what it does not do, and the
trainer does, is the engine, the optimizer, making the batches and writing things down.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from stages import train
from stages.training.launch import environment
from tests import tiny_models
from tests.stages.training.runs import make_config, make_job, picture, write_run

ROWS_PER_STEP, PACK_LENGTH, MEDIAN_TOKENS, SIGMA, MAX_TOKENS = 8, 1024, 160, 0.7, 900


def save_model(folder: Path) -> None:
    """A policy of four layers and about three million parameters."""
    folder.mkdir()
    tiny_models.save_policy(folder)
    config = AutoConfig.from_pretrained(folder)
    text = {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 4}
    for name, value in {**text, "num_attention_heads": 4, "layer_types": None}.items():
        setattr(config.text_config, name, value)
    config.text_config.layer_types = ["full_attention"] * 4
    AutoModelForImageTextToText.from_config(config).save_pretrained(folder)


def make_rows(count: int) -> list[dict[str, Any]]:
    """Responses of lognormal length, a token per byte; every other question has a picture."""
    lengths = np.random.default_rng(0).lognormal(np.log(MEDIAN_TOKENS), SIGMA, count)
    return [
        {
            "question": f"How many? {number}",
            "images": [picture(number)] if number % 2 else [],
            "response": "x" * int(min(length, MAX_TOKENS)),
            "reward": 1.0,
        }
        for number, length in enumerate(lengths)
    ]


def measure_steps(rounds: int) -> dict[str, Any]:
    """Tokens per second of both arms, medians, in a process of their own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_model(folder / "policy")
        run_dir = write_run(folder / "run", make_rows(ROWS_PER_STEP * (rounds + 2)))
        config = make_config(
            run_dir, batch_size=ROWS_PER_STEP, pack_length=PACK_LENGTH, max_length=2048
        )
        train.launch = lambda *_, **__: None  # type: ignore[attr-defined]
        train.run(make_job(run_dir, folder / "policy", config), config)
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1"]
        task = run_dir / "checkpoints" / train.WORK / "task.json"
        made = subprocess.run(
            [sys.executable, *launcher, "-m", __name__, str(task), str(folder / "result.json")],
            env=environment(1),
            stdout=subprocess.DEVNULL,
            check=True,
        )
        assert made.returncode == 0
        result: dict[str, Any] = json.loads((folder / "result.json").read_text())
        return result


def main(task_path: str, result: str) -> None:
    """Take all steps of the plan, the first two to warm up."""
    from stages.training.loop import Trainer, start_distributed
    from stages.training.policy import Policy
    from stages.training.task import Task

    task, device = Task.load(Path(task_path)), start_distributed()
    trainer = Trainer(task, device)
    bare = Policy(task.model, torch.float32, device)
    bare.use_packed_attention(True)
    speeds: dict[str, list[float]] = {"ours": [], "bare": []}
    for step in range(len(trainer.plan.steps)):
        packs = trainer.plan.packs(step, PACK_LENGTH)
        batches = [bare.batch(trainer.plan, pack) for pack in packs]
        tokens = trainer.plan.num_tokens(step)
        started = time.monotonic()
        for batch in batches:
            (-bare.language(batch).sum() / trainer.plan.num_targets(step)).backward()
        speeds["bare"].append(tokens / (time.monotonic() - started))
        bare.language.zero_grad()
        started = time.monotonic()
        trainer.step(stop=False)
        speeds["ours"].append(tokens / (time.monotonic() - started))
    medians = {arm: float(np.median(values[2:])) for arm, values in speeds.items()}
    parameters = sum(each.numel() for each in bare.language.parameters())
    Path(result).write_text(json.dumps({**medians, "parameters": parameters}))


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # as in the loop
