"""Log-probabilities of rows under a policy as it is: no gradient, and the trainer's own forward.

GRPO's ratio and KL term compare with the policy before training, pi_old and pi_ref. It is scored
once, before the first step and in the micro-batches of the first epoch, by the code that scores it
in training: so the first ratio is 1. The scores lie beside the plan:

    PLAN/scores/part-00003-rank-1-of-2.arrow    a rank's rows of some steps
    PLAN/scores.arrow                           all rows, in place of the parts

T: response tokens of a row.
"""

import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, distributed

from stages.training.config import Config
from stages.training.plan import Plan
from stages.training.policy import Batch, Policy

STEPS_PER_PART = 4
"""Optimizer steps: what a stop or a kill may cost."""
SCHEMA = pa.schema([("row", pa.int32()), ("logprobs", pa.list_(pa.float32()))])
SCORES, PARTS = "scores.arrow", "scores"
Run = Callable[[Batch], Tensor]
"""The engine: a micro-batch to its log-probabilities. All ranks call it together."""


class Scores:
    """The scores of all rows, mapped into memory.

    Args:
        plan: beside which they lie.
    """

    def __init__(self, plan: Plan) -> None:
        self.table = pa.ipc.open_file(pa.memory_map(str(plan.folder / SCORES))).read_all()
        rows = self.table["row"].to_numpy()
        self.places: np.ndarray[Any, np.dtype[np.int64]] = np.full(plan.num_rows, -1)
        self.places[rows] = np.arange(len(rows))

    def row(self, number: int) -> Tensor:
        """Log-probability of each response token, float32. Shape [T]."""
        place = int(self.places[number])
        assert place >= 0
        return torch.tensor(self.table["logprobs"][place].values.to_numpy())


def score_plan(
    run: Run, policy: Policy, plan: Plan, config: Config, should_stop: Callable[[], bool]
) -> Scores | None:
    """Score every row, or open the scores that are there. All ranks call it.

    Args:
        run: the engine.
        policy: whose language model it holds, still as it was before training.
        plan: what is scored, and beside which the scores are kept.
        config: how steps are split.
        should_stop: whether this rank was asked to stop; whole parts are kept.

    Returns:
        None where a rank was stopped.
    """
    folder, device = plan.folder / PARTS, policy.device
    if not (plan.folder / SCORES).exists():
        rank, num_ranks = distributed.get_rank(), distributed.get_world_size()
        folder.mkdir(exist_ok=True)
        parts = list(first_epoch(plan))
        names = [
            [f"part-{number:05d}-rank-{each}-of-{num_ranks}.arrow" for each in range(num_ranks)]
            for number in range(len(parts))
        ]
        for steps, of_ranks in zip(parts, names, strict=True):
            if any_rank(should_stop(), device):
                return None
            path = folder / of_ranks[rank]
            # One that lacks it has the others go along: all take part in every collective.
            if any_rank(not path.exists(), device):
                scored = list(_scored(run, policy, plan, config, steps, should_stop))
                if any_rank(should_stop(), device):
                    return None
                columns = [[row for row, _ in scored], [own_T.numpy() for _, own_T in scored]]
                _write(path, [pa.record_batch(columns, schema=SCHEMA)])
        distributed.barrier()
        if rank == 0:
            paths = [folder / name for of_ranks in names for name in of_ranks]
            _write(plan.folder / SCORES, itertools.chain.from_iterable(map(_read, paths)))
            shutil.rmtree(folder)
        distributed.barrier()
    return Scores(plan)


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
    run: Run,
    policy: Policy,
    plan: Plan,
    config: Config,
    steps: Sequence[int],
    should_stop: Callable[[], bool],
) -> Iterator[tuple[int, Tensor]]:
    """This rank's rows of some steps with their scores, up to a stop."""
    rank, num_ranks = distributed.get_rank(), distributed.get_world_size()
    for step in steps:
        dealt = plan.micro_batches(step, config.micro_batch_size, num_ranks, config.pack_length)
        spare = plan.shortest(plan.steps[step])
        yield from score(run, policy, plan, dealt[rank], spare, should_stop)


@torch.no_grad()
def score(
    run: Run,
    policy: Policy,
    plan: Plan,
    batches: Sequence[Sequence[int]],
    spare: int,
    should_stop: Callable[[], bool],
) -> Iterator[tuple[int, Tensor]]:
    """Score a rank's micro-batches. All ranks call it, with as many.

    Args:
        run: the engine.
        policy: whose language model it holds.
        plan: where the rows come from.
        batches: row numbers of each.
        spare: a row that goes along where a micro-batch is empty.
        should_stop: whether this rank was asked to stop: then no rank scores another one.

    Yields:
        A row's number, and the log-probability of each of its response tokens.
    """
    policy.language.eval()
    try:
        packs = policy.batches(plan, [rows or [spare] for rows in batches])
        for rows, batch in zip(batches, packs, strict=True):
            if any_rank(should_stop(), policy.device):
                return
            logprob_T = run(batch).cpu()
            lengths = [plan.response_lengths[row] for row in rows]
            yield from zip(rows, torch.split(logprob_T, lengths) if rows else (), strict=True)
    finally:
        policy.language.train()


def _read(path: Path) -> Iterator[pa.RecordBatch]:
    with pa.memory_map(str(path)) as file:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


def _write(path: Path, batches: Iterable[pa.RecordBatch]) -> None:
    """Write a file that is there when it is whole."""
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as file:
        with pa.ipc.new_file(file, SCHEMA) as writer:
            for batch in batches:
                writer.write(batch)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether it is so for any rank."""
    flags = torch.tensor([float(flag)], device=device)
    distributed.all_reduce(flags)
    return bool(flags.item() > 0)
