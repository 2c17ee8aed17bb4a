"""Runs to train on: a tiny policy, and tables that hold what the test is about."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from data import tables
from data.records import Sample, Trajectory
from stages.engines import ModelConfig
from stages.job import Job
from stages.training.config import Config
from tests.reports import SilentReport


def picture(number: int, size: int = 28) -> bytes:
    """A PNG whose colour tells it from others."""
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (number * 37 % 256, number * 91 % 256, 128)).save(buffer, "PNG")
    return buffer.getvalue()


def make_rows(count: int, *, images: bool = True) -> list[dict[str, Any]]:
    """Responses of different lengths; every third question has no picture."""
    return [
        {
            "question": f"How many? {number}",
            "images": [picture(number)] if images and number % 3 else [],
            "response": f"<think> {'one more ' * (number % 5)}</think> \\boxed{{{number}}}",
            "reward": 1.0,
        }
        for number in range(count)
    ]


def write_run(folder: Path, rows: Sequence[dict[str, Any]], num_shards: int = 2) -> Path:
    """A run with samples and trajectories, one of each for every row."""
    metadata = tables.Metadata(stage="test", digest="rows")
    for index in range(num_shards):
        samples, trajectories = [], []
        for number, row in enumerate(rows[index::num_shards]):
            name = f"sample-{index}-{number:03d}"
            images = [{"bytes": image, "path": "x.png"} for image in row["images"]]
            samples.append(Sample(sample_id=name, images=images, question=row["question"]))
            trajectories.append(
                Trajectory(
                    sample_id=name,
                    caption_index=0,
                    rollout_index=0,
                    response=row["response"],
                    reward=row["reward"],
                    token_ids=row.get("token_ids"),
                    finish_reason=row.get("finish_reason"),
                )
            )
        for record, made in ((Sample, samples), (Trajectory, trajectories)):
            path = tables.shard_path(folder / f"{record.__name__.lower()}s", index, num_shards)
            path = path if record is Sample else _trajectory_path(folder, index, num_shards)
            tables.write_atomically(path, tables.to_table(made, record), metadata)
    return folder


def make_job(run_dir: Path, policy: Path, config: Config, **changes: Any) -> Job:
    """An attempt at training a run."""
    settings = config.model_dump(mode="json", exclude=set(config.ENGINE_ONLY))
    metadata = tables.Metadata(stage="train", digest=tables.digest_of(settings), settings=settings)
    values = {"seed": 7, "report": SilentReport(), **changes}
    return Job(
        stage="train",
        run_dir=run_dir,
        models={"policy": ModelConfig(path=str(policy))},
        metadata=metadata,
        **values,
    )


def _trajectory_path(folder: Path, index: int, num_shards: int) -> Path:
    return tables.shard_path(folder / "trajectories", index, num_shards)
