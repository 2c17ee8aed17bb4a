"""Log-probabilities of rows under a policy as it is: no gradient, and the trainer's own forward.

GRPO's ratio and KL term compare with the policy before training, pi_old and pi_ref. It is scored
once, before the first step and in the micro-batches of the first epoch, by the code that scores it
in training: so the first ratio is 1. The scores lie beside the plan:

    PLAN/before/part-00003-rank-1-of-2.arrow    of the rows of some steps
    PLAN/before/scores.json                     the names of all parts; written last

T: response tokens of a row.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, distributed

from stages.training.config import Config
from stages.training.plan import Plan
from stages.training.policy import Batch, Policy

STEPS_PER_PART = 16
SCHEMA = pa.schema([("row", pa.int32()), ("logprobs", pa.list_(pa.float32()))])
FOLDER, INDEX = "before", "scores.json"
Run = Callable[[Batch], Tensor]
"""The engine: a micro-batch to its log-probabilities. All ranks call it together."""


class Scores:
    """The scores of all rows, mapped into memory.

    Args:
        folder: the plan's.
        num_rows: of the plan.
    """

    def __init__(self, folder: Path, num_rows: int) -> None:
        names = json.loads((folder / FOLDER / INDEX).read_text(encoding="utf-8"))
        self.tables = [
            pa.ipc.open_file(pa.memory_map(str(folder / FOLDER / name))).read_all()
            for name in names
        ]
        self.num_rows = num_rows

    @cached_property
    def _places(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Of each row: which part, and where in it."""
        places = np.full((self.num_rows, 2), -1)
        for number, table in enumerate(self.tables):
            rows = table["row"].to_numpy()
            places[rows, 0], places[rows, 1] = number, np.arange(len(rows))
        return places

    def row(self, number: int) -> Tensor:
        """Log-probability of each response token, float32. Shape [T]."""
        part, place = self._places[number].tolist()
        assert part >= 0
        return torch.tensor(self.tables[part]["logprobs"][place].values.to_numpy())


def score_plan(
    run: Run, policy: Policy, plan: Plan, config: Config, should_stop: Callable[[], bool]
) -> Scores | None:
    """Score every row, or open the scores that are there. All ranks call it.

    Args:
        run: the engine.
        policy: whose language model it holds, still as it was before training.
        plan: what is scored, and beside which the scores are kept.
        config: how steps are split.
        should_stop: whether this rank was asked to stop; what was scored is kept.

    Returns:
        None where a rank was stopped.
    """
    folder = plan.folder / FOLDER
    if not (folder / INDEX).exists():
        rank, num_ranks = distributed.get_rank(), distributed.get_world_size()
        folder.mkdir(exist_ok=True)
        parts = list(first_epoch(plan))
        for number, steps in enumerate(parts):
            if any_rank(should_stop(), policy.device):
                return None
            path = folder / f"part-{number:05d}-rank-{rank}-of-{num_ranks}.arrow"
            # One that lacks it has the others go along: all take part in every collective.
            if any_rank(not path.exists(), policy.device):
                _write(path, _scored(run, policy, plan, config, steps))
        distributed.barrier()
        if rank == 0:
            ranks = range(num_ranks)
            names = [
                f"part-{number:05d}-rank-{each}-of-{num_ranks}.arrow"
                for number in range(len(parts))
                for each in ranks
            ]
            temporary = folder / f".{INDEX}"
            temporary.write_text(json.dumps(names), encoding="utf-8")
            os.replace(temporary, folder / INDEX)
        distributed.barrier()
    return Scores(plan.folder, plan.num_rows)


def first_epoch(plan: Plan) -> Iterator[Sequence[int]]:
    """The steps that together have every row, in parts."""
    seen: set[int] = set()
    steps: list[int] = []
    for step, rows in enumerate(plan.steps):
        seen.update(rows)
        steps.append(step)
        if len(seen) == plan.num_rows or len(steps) == STEPS_PER_PART:
            yield steps
            steps = []
        if len(seen) == plan.num_rows:
            return


def _scored(
    run: Run, policy: Policy, plan: Plan, config: Config, steps: Sequence[int]
) -> Iterator[tuple[int, Tensor]]:
    """This rank's rows of some steps with their scores."""
    rank, num_ranks = distributed.get_rank(), distributed.get_world_size()
    for step in steps:
        dealt = plan.micro_batches(step, config.micro_batch_size, num_ranks, config.pack_length)
        yield from score(run, policy, plan, dealt[rank], plan.steps[step][0])


@torch.no_grad()
def score(
    run: Run, policy: Policy, plan: Plan, batches: Sequence[Sequence[int]], spare: int
) -> Iterator[tuple[int, Tensor]]:
    """Score a rank's micro-batches.

    Args:
        run: the engine.
        policy: whose language model it holds.
        plan: where the rows come from.
        batches: row numbers of each.
        spare: a row that goes along where a micro-batch is empty.

    Yields:
        A row's number, and the log-probability of each of its response tokens.
    """
    policy.language.eval()
    try:
        for rows in batches:
            logprob_T = run(policy.batch(plan, rows or [spare])).cpu()
            lengths = [plan.response_lengths[row] for row in rows]
            yield from zip(rows, torch.split(logprob_T, lengths) if rows else (), strict=True)
    finally:
        policy.language.train()


def _write(path: Path, scored: Iterator[tuple[int, Tensor]]) -> None:
    """Write a part; it is there when it is whole."""
    rows, logprobs = [], []
    for row, logprob_T in scored:
        rows.append(row)
        logprobs.append(logprob_T.numpy())
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as file:
        with pa.ipc.new_file(file, SCHEMA) as writer:
            writer.write(pa.record_batch([rows, logprobs], schema=SCHEMA))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether it is so for any rank."""
    flags = torch.tensor([float(flag)], device=device)
    distributed.all_reduce(flags)
    return bool(flags.item() > 0)
