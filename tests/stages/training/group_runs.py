"""Runs of whole groups, as propagate-reward writes them."""

import random
from pathlib import Path

from data import tables
from data.records import Sample, Trajectory
from stages.trust import group_advantages, trust_weight
from tests.stages.training.runs import SHORT_PROMPT, picture


def write_group_run(
    folder: Path, num_groups: int, size: int = 4, *, is_scored: bool = True, num_shards: int = 2
) -> Path:
    """A run with a group of responses of different lengths for each question."""
    draw = random.Random(f"{num_groups} groups of {size}")
    metadata = tables.Metadata(stage="test", digest="groups")
    for index in range(num_shards):
        samples, trajectories = [], []
        for number in range(index, num_groups, num_shards):
            name = f"sample-{index}-{number:03d}"
            images = [{"bytes": picture(number), "path": "x.png"}] if number % 3 else []
            samples.append(Sample(sample_id=name, images=images, question=f"How many? {number}"))
            outcomes = [1.0, *(float(draw.random() < 0.5) for _ in range(size - 2)), 0.0]
            thinkings = [draw.randrange(11) / 10 if is_scored else None for _ in range(size)]
            for rollout, advantage in enumerate(group_advantages(outcomes)):
                count = draw.randrange(6)
                text = f"<think> {'one ' * count}</think> \\boxed{{{rollout}}}"
                trajectories.append(
                    Trajectory(
                        sample_id=name,
                        caption_index=0,
                        rollout_index=rollout,
                        response=text,
                        reward=outcomes[rollout],
                        advantage=advantage,
                        finish_reason="length" if count == 5 else "stop",
                        outcome_reward=outcomes[rollout],
                        thinking_reward=thinkings[rollout],
                        trust_weight=trust_weight(outcomes, thinkings),
                    )
                )
        for table, record, made in (
            ("samples", Sample, samples),
            ("trajectories", Trajectory, trajectories),
        ):
            path = tables.shard_path(folder / table, index, num_shards)
            tables.write_atomically(path, tables.to_table(made, record), metadata)
    (folder / "system.txt").write_text(SHORT_PROMPT)
    return folder
