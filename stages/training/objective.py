"""What the rows of a micro-batch add to their step's loss.

The pure functions stand in `loss.py`; here they get what the plan says of each row, and the
log-probabilities from before training. All response tokens of a row are in the same micro-batch,
one row behind the other.

T: response tokens of a micro-batch, of all its rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data.errors import EngineError
from stages.training.config import Config
from stages.training.loss import (
    OBJECTIVES,
    ResponseTokens,
    RolloutTokens,
    denominator,
    grpo,
    k3,
    token_weight,
)
from stages.training.plan import Plan, Row
from stages.training.ratio import importance_weight
from stages.training.scores import Scores
from stages.trust import annealed_advantages

MOST_DEVIATION = {torch.float32: 1e-3, torch.bfloat16: 1e-2}
"""Of a ratio from 1 before the first update, when the policy is still what it was scored as: of any
token in float32, of the mean in bfloat16, in which another kernel moves single tokens further."""


@dataclass(frozen=True)
class Part:
    """What a micro-batch adds to its step."""

    loss: Tensor
    """Scalar, float32, the only one with a gradient."""
    sums: Tensor
    """What `Objective.figures` makes figures of, after adding up: float64, [4]."""
    largest: Tensor
    """And the largest of this: a scalar."""


@dataclass(frozen=True)
class Objective:
    """The loss of a training, row by row."""

    config: Config
    plan: Plan
    before: Scores | None
    """Log-probabilities under the policy before training; None: the objective needs none."""
    dtype: torch.dtype = torch.float32
    """Of the arithmetic."""

    def divisor(self, step: int) -> int:
        """What the summed loss of a step is divided by, however the step is split."""
        num_rows = len(self.plan.steps[step])
        return denominator(self.config.normalize, self.plan.num_targets(step), num_rows)

    def part(self, step: int, numbers: Sequence[int], logprob_T: Tensor) -> Part:
        """A micro-batch's part of its step.

        Args:
            step: 0, 1, ...
            numbers: its rows.
            logprob_T: log pi_theta of their response tokens.
        """
        rows = [self.plan.row(number) for number in numbers]
        lengths = [len(row.response_ids) for row in rows]
        device = logprob_T.device

        def spread(values: Sequence[float]) -> Tensor:
            """A row's value for each of its tokens."""
            of_rows = torch.tensor(values, dtype=torch.float32)
            return of_rows.repeat_interleave(torch.tensor(lengths)).to(device)

        if self.before is not None:
            before_T = torch.cat([self.before.row(number) for number in numbers]).to(device)
            tokens = RolloutTokens(
                logprob_T=logprob_T,
                behavior_logprob_T=before_T,
                advantage_T=spread([self.advantage(row, step) for row in rows]),
                reference_logprob_T=before_T,
            )
            loss_T = grpo(tokens, clip=self.config.clip, kl_weight=self.config.kl_weight)
            sums, largest = drift(tokens, self.config.clip)
        else:
            weights = self.importance(rows, logprob_T.detach())
            rewards = [row.reward * weight for row, weight in zip(rows, weights, strict=True)]
            tokens_ = ResponseTokens(logprob_T=logprob_T, reward_T=spread(rewards))
            loss_T = OBJECTIVES[self.config.objective](tokens_)
            sums, largest = self.weighed(rows, weights, device)
        weight_T = spread([token_weight(self.config.normalize, length) for length in lengths])
        return Part((loss_T * weight_T).sum() / self.divisor(step), sums, largest)

    def advantage(self, row: Row, step: int) -> float:
        """A rollout's advantage in its group at a training step."""
        if self.config.objective == "grpo":
            assert row.advantage is not None
            return row.advantage
        assert row.group is not None
        advantages = annealed_advantages(
            row.group,
            step=step,
            num_steps=self.config.annealing_steps or len(self.plan.steps),
            weight=self.config.thinking_weight,
        )
        return advantages[row.place]

    def importance(self, rows: Sequence[Row], logprob_T: Tensor) -> list[float]:
        """What each trajectory is weighted with beside its reward; 1 for mixed-in rows."""
        if self.config.importance == "none":
            return [1.0] * len(rows)
        weights = []
        for row, own_T in zip(
            rows, torch.split(logprob_T, [len(row.response_ids) for row in rows]), strict=True
        ):
            if row.behavior_logprob is None:
                weights.append(1.0)
                continue
            log_ratio = own_T.double().sum().item() - row.behavior_logprob
            if self.config.importance_level == "token":
                log_ratio /= len(own_T)
            weights.append(importance_weight(log_ratio, self.config.importance_cap))
        return weights

    def weighed(
        self, rows: Sequence[Row], weights: Sequence[float], device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """What importance weights come to over the rows that have a ratio: mixed-in ones do not.

        Returns:
            The sum of the weights, how many are the cap, and how many there are; the largest.
        """
        own = [
            weight
            for row, weight in zip(rows, weights, strict=True)
            if row.behavior_logprob is not None
        ]
        capped = sum(weight == self.config.importance_cap for weight in own)
        values = [sum(own), capped, len(own), 0]
        sums = torch.tensor(values, dtype=torch.float64, device=device)
        return sums, sums.new_tensor(max(own, default=0.0))

    def figures(self, step: int, sums: Tensor, largest: float) -> dict[str, float]:
        """What a whole step's parts come to, for people.

        GRPO's are per response token, those of importance weights per row that has a ratio, of
        which there are `importance_rows`.

        Raises:
            EngineError: the policy is another one than was scored.
        """
        if self.before is not None:
            clipped, kl, ratio, deviation = (sums / self.plan.num_targets(step)).tolist()
            if step == 0:
                check_unmoved(largest, deviation, self.dtype)
            return {
                "clip_fraction": clipped,
                "kl": kl,
                "mean_ratio": ratio,
                "largest_ratio_deviation": largest,
            }
        if self.config.importance == "none":
            return {}
        weight, capped, count, _ = sums.tolist()
        if not count:
            return {"importance_rows": 0}
        return {
            "importance_rows": int(count),
            "mean_importance_weight": weight / count,
            "largest_importance_weight": largest,
            "importance_capped_fraction": capped / count,
        }


def drift(tokens: RolloutTokens, clip: float) -> tuple[Tensor, Tensor]:
    """How far tokens are from the policy before training.

    Returns:
        Sums of whether the clip takes a token's gradient, of k3, of the ratio and of its deviation
        from 1; and the largest deviation.
    """
    logprob_T, before_T = tokens.logprob_T.detach(), tokens.behavior_logprob_T
    ratio_T = (logprob_T - before_T).exp()
    is_up_T = tokens.advantage_T > 0
    is_clipped_T = torch.where(is_up_T, ratio_T > 1 + clip, ratio_T < 1 - clip)
    is_clipped_T &= tokens.advantage_T != 0
    deviation_T = (ratio_T - 1).abs()
    parts = (is_clipped_T, k3(logprob_T, before_T), ratio_T, deviation_T)
    return torch.stack([part_T.double().sum() for part_T in parts]), deviation_T.max()


def check_unmoved(largest: float, mean: float, dtype: torch.dtype) -> None:
    """Refuse to train where the first ratio to the policy before training is not 1.

    Args:
        largest: deviation of any token's ratio from 1.
        mean: of all tokens'.
        dtype: of the arithmetic.

    Raises:
        EngineError: it is not.
    """
    found = largest if dtype == torch.float32 else mean
    if not found <= MOST_DEVIATION[dtype]:
        raise EngineError(
            f"Before the first update a token's ratio to the policy before training is {found:.2g} "
            f"from 1, and at most {MOST_DEVIATION[dtype]:.2g} is due to rounding.",
            "If train.pack_length, train.micro_batch_size or train.num_ranks was changed since the "
            "last attempt, delete checkpoints/.work/plan; else this is an error of sophia's.",
        )
