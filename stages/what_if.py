"""What other values of alpha and keep would yield, from the same verdicts. Nothing is written.

Input tables: rollouts, verdicts.

    sophia propagate-reward --run RUN --what-if
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from data import tables
from data.errors import ConfigError, Stopped
from data.report import Report
from stages.generation import require_table
from stages.groups import GROUP
from stages.pruned_rollouts import not_served, pruned_for
from stages.rollout_shard import NOT_KNOWN, read_shard
from stages.selection import Select, caption_rewards, qualify, rank

ALPHAS = (0.0, 0.25, 0.5, 0.625, 0.75, 0.875)
KEEPS = (1, 2, 4, 8)


@dataclass(frozen=True, kw_only=True)
class Yield:
    """What one alpha and keep would give; None where it can't be known."""

    alpha: float
    keep: int
    samples_kept: int | None
    """Samples with a trajectory."""
    trajectories: int | None
    mean_tokens: float | None
    """Mean length of the trajectories; None also where there is none."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What each alpha and keep of the grid would give."""

    select: str
    samples: int
    """How many there are."""
    pruned_for: list[dict[str, Any]]
    """The alpha, keep and select that rollouts were given up for: another alpha or select, or a
    larger keep, might choose some of these. Empty: nothing was given up."""
    yields: list[Yield]


def forecast(
    run_dir: Path,
    *,
    select: Select,
    alpha: float,
    keep: int,
    run_seed: int,
    report: Report,
    should_stop: Callable[[], bool],
) -> Forecast:
    """Choose trajectories with each alpha and keep of the grid, and with those given.

    Args:
        run_dir: the run, which is only read.
        select: how to select.
        alpha: a value to try besides the grid's.
        keep: likewise.
        run_seed: seed of the random selections.
        report: where progress goes.
        should_stop: turns true on a signal.

    Raises:
        ConfigError: groups are selected, for which neither alpha nor keep matters.
        InputError: there are no rollouts, or no verdicts.
        Stopped: on a signal.
    """
    if select == GROUP:
        raise ConfigError(
            f'--what-if tries values of alpha and keep, which propagate.select = "{GROUP}" has no '
            "use for.",
            'Set propagate.select = "shortest", or leave --what-if out.',
        )
    rollouts, verdicts = run_dir / "rollouts", run_dir / "verdicts"
    count = require_table(rollouts, "sophia reason")
    require_table(verdicts, "sophia verify", count)
    alphas, keeps = sorted({*ALPHAS, alpha}), sorted({*KEEPS, keep})
    totals = Counter[Any]()
    report.start("what if", count, 0)
    for index in range(count):
        if should_stop():
            raise Stopped("Stopped early.", "Nothing was written; run it again.")
        totals += _count_shard(
            tables.shard_path(rollouts, index, count),
            tables.shard_path(verdicts, index, count),
            (alphas, keeps),
            select,
            run_seed,
        )
        report.advance(rows=1)
    served = pruned_for(rollouts)
    yields = []
    for alpha, keep in product(alphas, keeps):
        wanted = {"alpha": alpha, "keep": keep, "select": select}
        is_known = not any(not_served(settings, wanted) for settings in served)
        yields.append(_yield_of(totals, alpha, keep, is_known=is_known))
    return Forecast(select=select, samples=totals["samples"], pruned_for=served, yields=yields)


def _yield_of(totals: Counter[Any], alpha: float, keep: int, *, is_known: bool) -> Yield:
    """What one alpha and keep give; nothing is said where pruning was for others."""
    kept, chosen, tokens, measured = (
        totals[name, alpha, keep] for name in ("samples", "trajectories", "tokens", "measured")
    )
    return Yield(
        alpha=alpha,
        keep=keep,
        samples_kept=kept if is_known else None,
        trajectories=chosen if is_known else None,
        mean_tokens=round(tokens / measured, 1) if is_known and measured else None,
    )


def _count_shard(
    rollouts: Path,
    verdicts: Path,
    grid: tuple[list[float], list[int]],
    select: Select,
    run_seed: int,
) -> Counter[Any]:
    """Samples, trajectories, those of known length and their tokens, by alpha and keep."""
    alphas, keeps = grid
    counts = Counter[Any]()
    shard = read_shard(rollouts, verdicts)
    for piece in shard.pieces():
        counts["samples"] += len(piece.first_of_sample)
        for alpha in alphas:
            qualified = qualify(piece, caption_rewards(piece, alpha), select)
            ranking = rank(piece, shard.sample_ids, qualified, select, run_seed)
            for keep in keeps:
                chosen = ranking.rows[ranking.place < keep]
                counts["samples", alpha, keep] += int((ranking.place == 0).sum())
                counts["trajectories", alpha, keep] += len(chosen)
                lengths = piece.num_tokens[chosen]
                lengths = lengths[lengths != NOT_KNOWN]
                counts["tokens", alpha, keep] += int(lengths.sum())
                counts["measured", alpha, keep] += len(lengths)
    return counts
