"""Runs to train on: tables that hold what a test is about, and attempts at training them."""

import hashlib
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from data import tables
from data.records import Sample, Trajectory
from stages import train
from stages.engines import ModelConfig
from stages.job import Job
from stages.training.config import Config
from tests.reports import SilentReport

SHORT_PROMPT = "Think."
SEED = 7
ATTEMPTS = itertools.count()


def picture(number: int, size: tuple[int, int] = (28, 28)) -> bytes:
    """A PNG whose content tells it from others."""
    image = Image.new("RGB", size, (number * 37 % 256, number * 91 % 256, 128))
    image.paste((255, 255, number * 50 % 256), (0, 0, 5 + number % 20, 9))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def make_rows(count: int) -> list[dict[str, Any]]:
    """Responses of different lengths and rewards; every third question has no picture."""
    return [
        {
            "question": f"How many? {number}",
            "images": [picture(number)] if number % 3 else [],
            "response": f"<think> {'one ' * (number % 5)}</think> \\boxed{{{number}}}",
            "reward": 1.0 - number % 2 / 4,
        }
        for number in range(count)
    ]


def write_run(folder: Path, rows: Sequence[dict[str, Any]], num_shards: int = 2) -> Path:
    """A run with a sample and a trajectory for each row."""
    metadata = tables.Metadata(stage="test", digest="rows")
    for index in range(num_shards):
        samples, trajectories = [], []
        for number, row in enumerate(rows[index::num_shards]):
            name = f"sample-{index}-{number:03d}"
            values = {key: row[key] for key in row if key not in ("question", "images")}
            images = [{"bytes": image, "path": "x.png"} for image in row["images"]]
            samples.append(Sample(sample_id=name, images=images, question=row["question"]))
            trajectories.append(
                Trajectory(sample_id=name, caption_index=0, rollout_index=0, **values)
            )
        for name, record, made in (
            ("samples", Sample, samples),
            ("trajectories", Trajectory, trajectories),
        ):
            path = tables.shard_path(folder / name, index, num_shards)
            tables.write_atomically(path, tables.to_table(made, record), metadata)
    (folder / "system.txt").write_text(SHORT_PROMPT)
    return folder


def make_config(run_dir: Path, **changes: Any) -> Config:
    """Settings that suit runs of a few rows."""
    values = {
        "batch_size": 4,
        "micro_batch_size": 2,
        "learning_rate": 1e-3,
        "zero_stage": 0,
        "num_ranks": 1,
        "gradient_checkpointing": False,
        "system_prompt": str(run_dir / "system.txt"),
    }
    return Config(**{**values, **changes})


def make_job(run_dir: Path, policy: Path, config: Config, **changes: Any) -> Job:
    """An attempt at training a run."""
    settings = config.model_dump(mode="json", exclude=set(config.ENGINE_ONLY))
    metadata = tables.Metadata(stage="train", digest=tables.digest_of(settings), settings=settings)
    # Attempts are called by the second they begin in.
    begun = time.time() + next(ATTEMPTS)
    values = {"seed": SEED, "report": SilentReport(), "started_at": begun, **changes}
    return Job(
        stage="train",
        run_dir=run_dir,
        models={"policy": ModelConfig(path=str(policy))},
        metadata=metadata,
        **values,
    )


def start_attempt(run_dir: Path, policy: Path, config: Config) -> "subprocess.Popen[bytes]":
    """The same in a process of its own, which a test may kill; it exits with 75 when stopped."""
    arguments = [str(run_dir), str(policy), config.model_dump_json()]
    return subprocess.Popen([sys.executable, "-m", __name__, *arguments])


def steps_done(run_dir: Path) -> list[dict[str, Any]]:
    """The steps that the ranks of all attempts have reported."""
    attempts = sorted((run_dir / "metrics").glob("train-*.jsonl"), key=os.path.getmtime)
    lines = [line for path in attempts for line in path.read_text().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith("\n")]


def weights_hash(folder: Path) -> str:
    """SHA-256 of an exported model's weights."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def main(run_dir: str, policy: str, config_json: str) -> int:
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    config = Config.model_validate_json(config_json)
    job = make_job(Path(run_dir), Path(policy), config, should_stop=lambda: bool(stopped))
    return 0 if train.run(job, config).complete else 75


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
