"""The funnel, from samples to trajectories: of a shard, of a whole table, and by kind of sample.

Shards keep it in their metadata, as counts that add up: `rollouts`, for example, of all samples,
`source=geometry/rollouts` of those of one source, and `right=7/8` for the captions of which 7 of 8
rollouts are right.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data import tables
from data.records import Sample
from stages.rollout_columns import Mask, Rollouts
from stages.rollout_shard import Shard

FUNNEL = (
    *("samples", "captions", "rollouts", "judged", "right", "captions_above_alpha"),
    *("samples_with_right", "samples_kept", "trajectories"),
)
KINDS = ("source", "answer_type")
"""Columns of the samples by which the funnel is kept."""
NUM_VALUES = 64
"""Values of such a column that a shard names; the rarer ones are `other`."""
NONE, OTHER = "none", "other"
UNJUDGED = "unjudged"
GROUPS = "groups"
"""Marks what is counted of groups."""


class Funnel:
    """Counts the samples of one shard.

    Args:
        samples: the shard of samples, where there is one.
        shard: the rollouts that will be counted.
    """

    def __init__(self, samples: Path, shard: Shard) -> None:
        self.counts = Counter[str](dict.fromkeys(FUNNEL, 0))
        self.kinds = _kinds(samples, shard.sample_ids) if samples.exists() else {}

    def add(self, rollouts: Rollouts, is_above: Mask, selected: Mask) -> None:
        """Count some samples.

        Args:
            rollouts: their rollouts.
            is_above: whether R(c) > alpha, for each caption.
            selected: whether it becomes a trajectory, for each rollout.
        """
        right = rollouts.by_sample(rollouts.is_right)
        kept = rollouts.by_sample(selected)
        captions_above = np.zeros(len(rollouts.row), bool)
        captions_above[rollouts.first_of_caption] = is_above
        is_first = np.zeros(len(rollouts.row), bool)
        is_first[rollouts.first_of_caption] = True
        columns = (
            np.ones_like(right),
            rollouts.by_sample(is_first),
            rollouts.by_sample(np.ones_like(selected)),
            rollouts.by_sample(rollouts.is_judged),
            right,
            rollouts.by_sample(captions_above),
            right > 0,
            kept > 0,
            kept,
        )
        of_sample = np.stack(columns, axis=1)
        self._count("", of_sample)
        sample = rollouts.sample[rollouts.first_of_sample]
        for kind, (values, numbers) in self.kinds.items():
            for number in np.unique(numbers[sample]):
                chosen = of_sample[numbers[sample] == number]
                self._count(f"{kind}={values[number]}/", chosen)
        self._count_captions(rollouts)

    def add_groups(self, counts: Mapping[str, int]) -> None:
        """Count what became of some groups."""
        for name, number in counts.items():
            self.counts[f"{GROUPS}={name}"] += number

    def _count(self, prefix: str, of_sample: Any) -> None:
        for name, number in zip(FUNNEL, of_sample.sum(axis=0).tolist(), strict=True):
            self.counts[prefix + name] += number

    def _count_captions(self, rollouts: Rollouts) -> None:
        """Captions by how many of their rollouts are right."""
        sizes = rollouts.caption_sizes
        right = np.add.reduceat(rollouts.is_right, rollouts.first_of_caption, dtype=np.int64)
        judged = np.add.reduceat(rollouts.is_judged, rollouts.first_of_caption, dtype=np.int64)
        is_known = judged == sizes
        if unknown := int((~is_known).sum()):
            self.counts[f"right={UNJUDGED}"] += unknown
        width = int(sizes.max()) + 1
        found = np.bincount((sizes * width + right)[is_known])
        for number in np.flatnonzero(found):
            n, k = divmod(int(number), width)
            self.counts[f"right={k}/{n}"] += int(found[number])


def _kinds(path: Path, sample_ids: list[str]) -> dict[str, tuple[list[str], Any]]:
    """For each kind its values, and the number of each sample's value among them."""
    rows = {row["sample_id"]: row for row in tables.read_rows(path, Sample, ("sample_id", *KINDS))}
    kinds = {}
    for kind in KINDS:
        of_sample = [rows.get(name, {}).get(kind) or NONE for name in sample_ids]
        common = [value for value, _ in Counter(of_sample).most_common(NUM_VALUES)]
        numbers = {value: number for number, value in enumerate(common)}
        found = [numbers.get(value, len(common)) for value in of_sample]
        kinds[kind] = [*common, OTHER], np.array(found)
    return kinds


def describe(figures: Mapping[str, int]) -> dict[str, Any]:
    """A table's added-up counts in the order of the method.

    Returns:
        `funnel`, and where known `funnel_by_source`, `funnel_by_answer_type` (value -> funnel)
        and `caption_rewards` (`7/8` -> how many captions have 7 of 8 rollouts right); `groups`
        where there are any, with how many of them and of their rollouts met what fate.
    """
    found: dict[str, Any] = {"funnel": {name: figures.get(name, 0) for name in FUNNEL}}
    prefix = f"{GROUPS}="
    if groups := {name: number for name, number in figures.items() if name.startswith(prefix)}:
        found[GROUPS] = {name.removeprefix(prefix): number for name, number in groups.items()}
    for kind in KINDS:
        own = [name.partition("=")[2] for name in figures if name.startswith(f"{kind}=")]
        values = {value.rpartition("/")[0] for value in own}
        funnels = {
            value: {name: figures.get(f"{kind}={value}/{name}", 0) for name in FUNNEL}
            for value in values
        }
        if funnels:
            largest_first = sorted(values, key=lambda value: (-funnels[value]["samples"], value))
            found[f"funnel_by_{kind}"] = {value: funnels[value] for value in largest_first}
    shares = [name.partition("=")[2] for name in figures if name.startswith("right=")]
    if shares:
        found["caption_rewards"] = {
            share: figures[f"right={share}"] for share in sorted(shares, key=_by_share)
        }
    return found


def _by_share(share: str) -> tuple[float, int]:
    """Sorts `1/8`, `2/8`, ..., `unjudged`."""
    if share == UNJUDGED:
        return 2.0, 0
    right, _, rollouts = share.partition("/")
    return int(right) / int(rollouts), int(rollouts)
