"""Before training: the model at hand gives packed rows what it gives each of them alone."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from data.errors import EngineError
from stages.training.plan import Plan
from stages.training.policy import Batch, Policy

TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
"""Largest mean difference of a row's log-probabilities. A correct pack moves last bits alone: about
1e-6 in float32, 1e-2 in bfloat16."""


def check_packing(
    run: Callable[[Batch], Tensor], policy: Policy, plan: Plan, dtype: torch.dtype
) -> float:
    """Compare a pack of a few rows with the same rows alone under the model's own attention.

    All ranks call it, and look at the same rows.

    Args:
        run: the engine, which gives log-probabilities.
        policy: whose language model the engine holds.
        plan: where the rows come from.
        dtype: of the arithmetic.

    Returns:
        The largest mean difference of a row's log-probabilities.

    Raises:
        EngineError: they are not the same.
    """
    rows = rows_to_check(plan)
    policy.language.eval()
    with torch.no_grad():
        policy.use_packed_attention(False)
        alone = [run(policy.batch(plan, [row])) for row in rows]
        policy.use_packed_attention(True)
        together = run(policy.batch(plan, rows))
    policy.language.train()
    packed = torch.split(together, [len(logprobs) for logprobs in alone])
    pairs = zip(alone, packed, strict=True)
    worst = torch.stack([(one - other).abs().mean() for one, other in pairs]).max().item()
    if not worst <= TOLERANCES[dtype]:
        raise EngineError(
            f"This model can't be trained on packed rows: their log-probabilities are {worst:.2g} "
            f"from those of the same rows alone, and at most {TOLERANCES[dtype]:.2g} is due to "
            "rounding.",
            "Train row by row, with train.pack_length = null and train.micro_batch_size = 1.",
        )
    return worst


def rows_to_check(plan: Plan) -> Sequence[int]:
    """The shortest rows: two with images around one without, as far as there are any."""
    by_length = sorted(range(plan.num_rows), key=lambda row: (plan.lengths[row], row))
    with_images = [row for row in by_length if plan.image_counts[row]][:2]
    without = [row for row in by_length if not plan.image_counts[row]]
    return [*with_images[:1], *without[: 3 - len(with_images)], *with_images[1:]]
