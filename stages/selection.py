"""Eq. 5 and Eq. 6: caption rewards, and the rollouts that become trajectories.

Section 4.2 of the paper: R(c) is the mean outcome reward of a caption's N rollouts (Eq. 5); a
sample's trajectory is the shortest right rollout among captions with R(c) > alpha (Eq. 6). Every
function takes some samples' rollouts as columns.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

from stages.rollout_columns import Floats, Ints, Mask, Rollouts, starts, text_of_each
from stages.seeds import seed_for

Select = Literal["shortest", "random-qualified", "no-caption-reward", "random", "group"]


@dataclass(frozen=True, kw_only=True)
class CaptionRewards:
    """R(c) of some captions, as far as it is known."""

    value: Floats
    """Mean outcome reward over the judged rollouts (Eq. 5, where that is all N); NaN where the
    unjudged ones could still move R(c) across alpha, or where none is judged."""
    is_above: Mask
    """R(c) > alpha, whatever the unjudged rollouts would have been."""
    is_below: Mask
    """R(c) <= alpha, whatever they would have been."""


def caption_rewards(rollouts: Rollouts, alpha: float) -> CaptionRewards:
    """R(c) of each caption from its N rollouts (Eq. 5), and its side of alpha.

    A rollout without an outcome reward (verifier failed, rollout failed or pruned) is unknown:
    the caption is above alpha if it is even with all unknown ones wrong, and below if it is even
    with all of them right.
    """
    num_rollouts = rollouts.caption_sizes
    right = rollouts.by_caption(np.where(rollouts.is_judged, rollouts.outcome, 0.0))
    judged = rollouts.by_caption(rollouts.is_judged)
    is_above = right / num_rollouts > alpha
    is_below = (right + (num_rollouts - judged)) / num_rollouts <= alpha
    is_known = (is_above | is_below) & (judged > 0)
    value = np.divide(right, judged, out=np.full(len(right), np.nan), where=is_known)
    return CaptionRewards(value=value, is_above=is_above, is_below=is_below)


def qualify(rollouts: Rollouts, captions: CaptionRewards, select: Select) -> Mask:
    """Which rollouts may become trajectories: right ones among captions with R(c) > alpha."""
    if select == "random":
        return rollouts.is_finished
    right = rollouts.is_finished & rollouts.is_right
    if select == "no-caption-reward":
        return right
    qualified: Mask = right & rollouts.of_caption(captions.is_above)
    return qualified


class Ranking(NamedTuple):
    """Rollouts that qualify, sample by sample, the best first."""

    rows: Ints
    """Which rollout it is."""
    place: Ints
    """0 for the best of its sample, 1 for the next."""


def rank(
    rollouts: Rollouts, sample_ids: list[str], qualified: Mask, select: Select, run_seed: int
) -> Ranking:
    """Order the rollouts that qualify: the shortest first (Eq. 6), or at random.

    Ties are in the order of (caption_index, rollout_index).
    """
    rows = np.flatnonzero(qualified)
    if select in ("shortest", "no-caption-reward"):
        preference: Ints = rollouts.num_tokens[rows]
    else:
        sample, caption, rollout = rollouts.sample, rollouts.caption, rollouts.rollout
        seeds = (
            seed_for(
                run_seed,
                "propagate-reward",
                sample_ids[sample[row]],
                int(caption[row]),
                int(rollout[row]),
            )
            for row in rows
        )
        preference = np.argsort(np.argsort(np.fromiter(seeds, np.int64, len(rows))))
    # One number for both criteria is sorted several times as fast; stable keeps the order of keys.
    by_sample = (rollouts.sample[rows].astype(np.int64) << 32) + preference
    rows = rows[np.argsort(by_sample, kind="stable")]
    best = starts(rollouts.sample[rows])
    num_qualified = np.diff(best, append=len(rows))
    return Ranking(rows, np.arange(len(rows)) - np.repeat(best, num_qualified))


def choose(
    rollouts: Rollouts,
    sample_ids: list[str],
    captions: CaptionRewards,
    *,
    select: Select,
    keep: int,
    run_seed: int,
) -> Mask:
    """Which rollouts become trajectories (Eq. 6 and its ablations)."""
    qualified = qualify(rollouts, captions, select)
    ranking = rank(rollouts, sample_ids, qualified, select, run_seed)
    selected = np.zeros(len(qualified), bool)
    selected[ranking.rows[ranking.place < keep]] = True
    return selected


class Case(NamedTuple):
    """What a reason depends on: thousands of rollouts share one."""

    status: str
    is_selected: bool
    is_pruned: bool
    is_judged: bool
    is_right: bool
    is_above: bool
    is_below: bool


def reason_for(case: Case, select: Select) -> str:
    """Why rollouts became trajectories, or why not."""
    unknown = "" if case.is_judged else "not judged; "
    if case.is_selected:
        return "selected"
    if select == "random":
        return unknown + "not drawn"
    if not case.is_right:
        status = "right in part" if case.status == "correct" else case.status
        reason = "pruned" if case.is_pruned else unknown + status
    elif select != "no-caption-reward" and case.is_below:
        reason = "caption reward at or below alpha"
    elif select != "no-caption-reward" and not case.is_above:
        reason = "caption has unjudged rollouts that could settle it"
    else:
        reason = "not drawn" if select == "random-qualified" else "not among the shortest"
    if case.is_judged:
        return reason
    if case.is_above or case.is_below:
        return f"{reason}; caption settled {'above' if case.is_above else 'below'} alpha"
    return f"{reason}; caption undecided"


def reasons(
    rollouts: Rollouts,
    statuses: list[str],
    captions: CaptionRewards,
    selected: Mask,
    select: Select,
) -> pa.Array:
    """The reason of each rollout, in words made once for each case."""
    return text_of_each(
        lambda status, *flags: reason_for(Case(statuses[status], *map(bool, flags)), select),
        rollouts.status,
        selected,
        rollouts.is_pruned,
        rollouts.is_judged,
        rollouts.is_right,
        rollouts.of_caption(captions.is_above),
        rollouts.of_caption(captions.is_below),
    )
