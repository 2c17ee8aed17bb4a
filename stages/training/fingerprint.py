"""What a training state says of itself, however many ranks hold it.

A state that was loaded, or resharded, is compared with it before anything is trained.
"""

import math
from typing import Any

import torch
from torch import distributed

from data.errors import EngineError
from stages.training.plan import Plan
from stages.training.policy import Policy

NUM_ROWS = 2
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
"""Largest relative difference of the next loss. The same weights give the same, but for kernels
that sum in another order."""
ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 5e-2}
"""And the largest absolute one, where the loss is so small that rounding shows."""
MOMENT_TOLERANCE = 1e-5
"""Of the norms of AdamW's moments, which are copied bit by bit."""
CHUNK = 2**22
"""Numbers turned into float64 at a time: 32 MiB."""
MOMENTS = ("exp_avg", "exp_avg_sq")


def fingerprint(engine: Any, policy: Policy, plan: Plan, step: int) -> dict[str, float]:
    """The next step's loss on its shortest rows, and the norms of AdamW's moments.

    All ranks call it, and look at the same rows.

    Args:
        engine: the DeepSpeed engine.
        policy: whose language model the engine holds.
        plan: where the rows come from.
        step: how many are done.
    """
    rows = plan.steps[min(step, len(plan.steps) - 1)]
    rows = sorted(rows, key=lambda row: (plan.lengths[row], row))[:NUM_ROWS]
    policy.language.eval()
    with torch.no_grad():
        logprobs = torch.cat([engine(policy.batch(plan, [row])) for row in rows])
    policy.language.train()
    return {"next_loss": -logprobs.double().mean().item(), **moment_norms(engine)}


def moment_norms(engine: Any) -> dict[str, float]:
    """L2 norms of AdamW's moments over all ranks."""
    is_spread = engine.zero_optimization()
    optimizer = engine.optimizer.optimizer if is_spread else engine.optimizer
    squares = torch.zeros(len(MOMENTS), dtype=torch.float64, device=engine.device)
    for state in optimizer.state.values():
        for index, name in enumerate(MOMENTS):
            if name in state:
                squares[index] += sum_of_squares(state[name]).to(squares.device)
    if is_spread:
        distributed.all_reduce(squares)
    return dict(zip(MOMENTS, squares.sqrt().tolist(), strict=True))


def sum_of_squares(tensor: torch.Tensor) -> torch.Tensor:
    """In float64, of which no more than a chunk is held. Scalar."""
    chunks = torch.split(tensor.reshape(-1), CHUNK)
    norms = [torch.linalg.vector_norm(chunk, dtype=torch.float64) for chunk in chunks]
    return torch.stack(norms).square().sum()


def check_same(
    before: dict[str, float], now: dict[str, float], dtype: torch.dtype, name: str
) -> None:
    """Compare the state that was saved with the one at hand.

    Args:
        before: the fingerprint of the state that was saved.
        now: that of the one at hand.
        dtype: of the arithmetic.
        name: what the checkpoint is called.

    Raises:
        EngineError: they are not the same.
    """
    for what, value in before.items():
        relative, absolute = MOMENT_TOLERANCE, 1e-12
        if what == "next_loss":
            relative, absolute = TOLERANCES[dtype], ROUNDING[dtype]
        if not math.isclose(value, now[what], rel_tol=relative, abs_tol=absolute):
            raise EngineError(
                f"{name} does not give the state that was saved: its {what} is {now[what]:.8g}, "
                f"and was {value:.8g}.",
                "Use the policy and the versions of torch, transformers and DeepSpeed that it was "
                "saved with, or delete it to continue an older one.",
            )
