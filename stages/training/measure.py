"""pi_theta / mu over some of the trajectories, by the policy as it is."""

import random
from collections.abc import Callable
from typing import Any

from torch import distributed

from stages.seeds import seed_for
from stages.training.config import Config
from stages.training.plan import Plan
from stages.training.policy import Policy
from stages.training.ratio import describe_ratio
from stages.training.scores import Run, score


def measure_ratio(
    run: Run,
    policy: Policy,
    plan: Plan,
    config: Config,
    seed: int,
    should_stop: Callable[[], bool],
) -> dict[str, Any] | None:
    """Describe the ratio over at most `train.ratio_rows` trajectories. All ranks call it.

    Args:
        run: the engine.
        policy: whose language model it holds.
        plan: where the rows come from.
        config: how many rows, and how they are split.
        seed: the run's; the rows drawn are the same before and after training.
        should_stop: whether this rank was asked to stop.

    Returns:
        None where there is none whose probability under mu is known, or a rank was stopped.
    """
    known = plan.rows_with_behavior
    rng = random.Random(seed_for(seed, "train", "ratio"))
    rows = rng.sample(known, min(len(known), config.ratio_rows))
    if not rows:
        return None
    rank, num_ranks = distributed.get_rank(), distributed.get_world_size()
    dealt = plan.split(rows, config.micro_batch_size, num_ranks, config.pack_length)
    mine = {
        row: logprob_T.double().sum().item()
        for row, logprob_T in score(
            run, policy, plan, dealt[rank], plan.shortest(rows), should_stop
        )
    }
    gathered: list[dict[int, float]] = [{} for _ in range(num_ranks)]
    distributed.all_gather_object(gathered, mine)
    logprobs = {row: logprob for part in gathered for row, logprob in part.items()}
    if len(logprobs) < len(rows):
        return None
    found = {row: plan.row(row) for row in sorted(rows)}
    return describe_ratio(
        [logprobs[row] - (known.behavior_logprob or 0.0) for row, known in found.items()],
        [plan.response_lengths[row] for row in found],
        [known.is_own for known in found.values()],
    )
