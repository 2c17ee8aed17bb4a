"""Eq. 5 and Eq. 6 in plain Python, a rollout at a time: what the stage's arrays must come to."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from stages.propagate_reward import Config


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A rollout with its verdict."""

    sample_id: str
    caption_index: int
    rollout_index: int
    num_tokens: int
    finish_reason: str
    status: str
    outcome_reward: float | None

    @property
    def key(self) -> tuple[str, int, int]:
        return self.sample_id, self.caption_index, self.rollout_index


@dataclass(frozen=True)
class CaptionReward:
    value: float | None
    state: str


def caption_reward(rollouts: Sequence[Scored], alpha: float) -> CaptionReward:
    """The mean over the judged ones, unless what the others could be leaves two sides of alpha."""
    known = [row.outcome_reward for row in rollouts if row.outcome_reward is not None]
    lowest = Fraction(sum(map(int, known)), len(rollouts))
    highest = lowest + Fraction(len(rollouts) - len(known), len(rollouts))
    sides = {bound > Fraction(str(alpha)) for bound in (lowest, highest)}
    if len(sides) == 2:
        return CaptionReward(None, "undecided")
    mean = sum(known) / len(known) if known else None
    return CaptionReward(mean, "above" if sides.pop() else "below")


def choose(
    rollouts: Sequence[Scored], captions: dict[int, CaptionReward], config: Config, run_seed: int
) -> list[Scored]:
    """The `keep` best of one sample's rollouts, the best first."""
    left = []
    for row in rollouts:
        is_right = row.outcome_reward == 1
        is_of_good_caption = captions[row.caption_index].state == "above"
        if row.finish_reason != "stop":
            continue
        if config.select != "random" and not is_right:
            continue
        if config.select not in ("random", "no-caption-reward") and not is_of_good_caption:
            continue
        left.append(row)
    chosen = []
    while left and len(chosen) < config.keep:
        best = left[0]
        for row in left[1:]:
            if _preference(row, config, run_seed) < _preference(best, config, run_seed):
                best = row
        left.remove(best)
        chosen.append(best)
    return chosen


def _preference(row: Scored, config: Config, run_seed: int) -> tuple[int, ...]:
    if config.select.startswith("random"):
        text = json.dumps([run_seed, "propagate-reward", *row.key]).encode()
        return (int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1,)
    return row.num_tokens, row.caption_index, row.rollout_index
