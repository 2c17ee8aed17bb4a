"""Groups: an on-policy question's rollouts, which are rewarded relative to each other.

SophiaVL-R1 (arXiv 2505.17018): each rollout has an outcome reward R_o and a thinking reward R_t,
and the group the trust gamma in the latter. Trust-GRPO's advantages follow from these at each
training step; GRPO's, of R_o alone, are made here.

A rollout that was not judged, or whose thinking the judge gave no score, is left out of its group:
it is neither right nor wrong. One that does not think at all has R_t = 0, as the rubric says.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

from stages.reward_tables import Choice
from stages.rollout_columns import (
    NOT_SCORED,
    NOT_THINKING,
    Floats,
    Ints,
    Mask,
    Rollouts,
    text_of_each,
)
from stages.trust import RIGHT, group_advantages, trust_weight

GROUP = "group"
"""The value of `propagate.select` that asks for whole groups."""
Variant = Literal["paper", "code"]
ALL_RIGHT, ALL_WRONG = 0.9, 0.1
"""The authors' code holds a group to be all right, or all wrong, from these outcome rewards on."""
MIXED, UNIFORM_RIGHT, UNIFORM_WRONG, TOO_SMALL = range(4)
"""The kinds of groups."""
WHY_SKIPPED = {
    UNIFORM_RIGHT: "its group is all right",
    UNIFORM_WRONG: "its group is all wrong",
    TOO_SMALL: "its group has fewer than two rollouts to compare",
}


@dataclass(frozen=True, kw_only=True)
class Groups:
    """What becomes of some samples' rollouts."""

    choice: Choice
    counts: Counter[str]
    """How many groups and rollouts met what fate."""


def choose_groups(rollouts: Rollouts, statuses: list[str], variant: Variant) -> Groups:
    """Select whole groups, with their advantages and trust.

    Args:
        rollouts: of some samples.
        statuses: the shard's.
        variant: `paper`: every group, and R_t of every rollout; `code`, as the authors' code: R_t
            of right rollouts only, and groups that are all right or all wrong are skipped.
    """
    thinking = _thinking_that_counts(rollouts, variant)
    belongs = rollouts.is_judged & ~_lacks_score(rollouts, variant)
    size = len(rollouts.row)
    selected = np.zeros(size, bool)
    kind = np.full(size, MIXED, np.int8)
    advantage, trust = np.full((2, size), np.nan, np.float32)
    for begin, end in pairwise([*rollouts.first_of_sample, size]):
        members = begin + np.flatnonzero(belongs[begin:end])
        outcomes = rollouts.outcome[members].tolist()
        kind[begin:end] = own = kind_of_group(outcomes)
        if own == MIXED or (own != TOO_SMALL and variant == "paper"):
            scores = [None if np.isnan(score) else score for score in thinking[members].tolist()]
            gamma = trust_weight(outcomes, scores)
            selected[members] = True
            advantage[members] = group_advantages(outcomes)
            trust[begin:end] = np.nan if gamma is None else gamma
    case = _Cases(rollouts=rollouts, selected=selected, belongs=belongs, kind=kind)
    choice = Choice(
        selected=selected,
        reasons=case.reasons(statuses),
        reward=rollouts.outcome,
        advantage=advantage,
        thinking=thinking,
        trust=trust,
    )
    return Groups(choice=choice, counts=case.counts(trust))


def _thinking_that_counts(rollouts: Rollouts, variant: Variant) -> Floats:
    """R_t of each rollout; NaN where there is none, or it does not count."""
    if rollouts.thinking is None:
        return np.full(len(rollouts.row), np.nan, np.float32)
    if variant == "code":
        return np.where(rollouts.outcome >= RIGHT, rollouts.thinking, np.nan)
    return rollouts.thinking


def _lacks_score(rollouts: Rollouts, variant: Variant) -> Mask:
    """Which rollouts the judge should have scored, and did not."""
    if rollouts.scoring is None:
        return np.zeros(len(rollouts.row), bool)
    lacks: Mask = rollouts.scoring == NOT_SCORED
    return lacks & (rollouts.outcome >= RIGHT) if variant == "code" else lacks


def kind_of_group(outcomes: list[float]) -> int:
    """`MIXED`, or why the outcome rewards of a group have nothing to say."""
    if len(outcomes) < 2:
        return TOO_SMALL
    if min(outcomes) >= ALL_RIGHT:
        return UNIFORM_RIGHT
    return UNIFORM_WRONG if max(outcomes) <= ALL_WRONG else MIXED


class Case(NamedTuple):
    """What a reason depends on."""

    status: str
    kind: int
    is_selected: bool
    is_judged: bool
    belongs: bool
    is_cut: bool
    is_thinking: bool


def reason_for(case: Case) -> str:
    """Why rollouts became trajectories of a group, or why not."""
    if not case.is_selected:
        if not case.is_judged:
            return f"not judged; {case.status}; left out of its group"
        if not case.belongs:
            return "thinking not scored; left out of its group"
        return WHY_SKIPPED[case.kind]
    reason = "selected"
    if case.is_cut:
        reason += "; truncated, which counts as wrong"
    if not case.is_thinking:
        reason += "; it does not think, so R_t is 0"
    return reason


@dataclass(frozen=True, kw_only=True)
class _Cases:
    """Rollouts with what is known of their groups."""

    rollouts: Rollouts
    selected: Mask
    belongs: Mask
    kind: Ints

    @property
    def is_thinking(self) -> Mask:
        scoring = self.rollouts.scoring
        return np.ones(len(self.selected), bool) if scoring is None else scoring != NOT_THINKING

    def reasons(self, statuses: list[str]) -> pa.Array:
        """The reason of each rollout, in words made once for each case."""
        return text_of_each(
            lambda status, kind, *flags: reason_for(
                Case(statuses[status], int(kind), *map(bool, flags))
            ),
            self.rollouts.status,
            self.kind,
            self.selected,
            self.rollouts.is_judged,
            self.belongs,
            self.rollouts.is_cut,
            self.is_thinking,
        )

    def counts(self, trust: Floats) -> Counter[str]:
        """Groups and rollouts by what became of them."""
        first = self.rollouts.first_of_sample
        of_group, is_judged = self.kind[first], self.rollouts.is_judged
        found = {
            "groups": len(first),
            "groups_kept": int((self.rollouts.by_sample(self.selected) > 0).sum()),
            "groups_all_right": int((of_group == UNIFORM_RIGHT).sum()),
            "groups_all_wrong": int((of_group == UNIFORM_WRONG).sum()),
            "groups_too_small": int((of_group == TOO_SMALL).sum()),
            "groups_trusted_less": int((trust[first] < 1).sum()),
            "rollouts_not_judged": int((~is_judged).sum()),
            "rollouts_thinking_not_scored": int((is_judged & ~self.belongs).sum()),
            "rollouts_not_thinking": int((self.selected & ~self.is_thinking).sum()),
            "rollouts_truncated": int((self.selected & self.rollouts.is_cut).sum()),
        }
        return Counter(found)
