"""The table of trajectories as examples to learn from, each with its sample and its group."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data import tables
from data.errors import InputError
from data.records import Sample, Trajectory
from stages.generation import require_table
from stages.job import Job
from stages.training.render import Example
from stages.trust import Group

Row = Mapping[str, Any]


def read_trajectories(job: Job) -> Iterator[Example]:
    """The trajectories with their samples, in the order of the tables.

    Raises:
        InputError: a table is missing or incomplete, or a trajectory has no sample.
    """
    samples, trajectories = job.folder("samples"), job.folder("trajectories")
    count = require_table(samples, "sophia ingest")
    require_table(trajectories, "sophia propagate-reward", count)
    for index in range(count):
        of_sample: dict[str, list[Row]] = defaultdict(list)
        for row in tables.read_rows(tables.shard_path(trajectories, index, count), Trajectory):
            of_sample[row["sample_id"]].append(row)
        if not of_sample:
            continue
        for sample in tables.read_rows(tables.shard_path(samples, index, count), Sample):
            yield from make_examples(sample, of_sample.pop(sample["sample_id"], []))
        if of_sample:
            raise InputError(
                f"{trajectories} has trajectories of {next(iter(of_sample))!r}, which is not among "
                f"the samples of shard {index}.",
                "Use the samples that the trajectories were made from.",
            )


def make_examples(sample: Row, rows: Sequence[Row]) -> Iterator[Example]:
    """A sample's trajectories; those with an outcome reward are a group."""
    grouped = [row for row in rows if row["outcome_reward"] is not None]
    group = make_group(grouped) if grouped else None
    places = {id(row): place for place, row in enumerate(grouped)}
    for row in rows:
        is_grouped = id(row) in places
        yield Example(
            sample=sample,
            response=row["response"] or "",
            reward=float("nan") if row["reward"] is None else row["reward"],
            token_ids=row["token_ids"],
            finished=row["finish_reason"] in (None, "stop"),
            key=f"{row['sample_id']}/{row['caption_index']}/{row['rollout_index']}",
            behavior_logprob=row["behavior_logprob"],
            advantage=row["advantage"] if is_grouped else None,
            group=group if is_grouped else None,
            place=places.get(id(row), 0),
        )


def make_group(rows: Sequence[Row]) -> Group:
    """Trajectories that are rewarded relative to each other."""
    return Group(
        outcomes=[row["outcome_reward"] for row in rows],
        thinkings=[row["thinking_reward"] for row in rows],
        trust=rows[0]["trust_weight"],
    )
