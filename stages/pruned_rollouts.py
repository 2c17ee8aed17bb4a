"""What a table's rollouts were pruned for: other settings may need those that were given up."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data import tables
from data.errors import RefusedError

PRUNED_FOR = ("alpha", "keep", "select")
"""Settings that rollouts are pruned for: others, but for a smaller `keep`, may need the rest."""


def refuse_other_pruning(rollouts: Path, wanted: Mapping[str, Any]) -> None:
    """Check that no rollout was given up that these settings of `propagate` might choose.

    Raises:
        RefusedError: they were pruned for another alpha or selection, or for fewer trajectories.
    """
    for served in pruned_for(rollouts):
        if differing := not_served(served, wanted):
            found = "; ".join(
                f"propagate.{name} = {served[name]!r}, now {wanted[name]!r}" for name in differing
            )
            raise RefusedError(
                f"{rollouts} was pruned for other settings: {found}.",
                "Set them back, or delete rollouts/ and run `sophia reason` again.",
            )


def pruned_for(rollouts: Path) -> list[dict[str, Any]]:
    """The settings that a table's rollouts were pruned for; one, or none if they were not."""
    found: list[dict[str, Any]] = []
    for path in tables.shards(rollouts):
        written = tables.read_metadata(path)
        if written is None or written.settings.get("reason.prune", "off") == "off":
            continue
        served = {name: written.settings[f"propagate.{name}"] for name in PRUNED_FOR}
        if served not in found:
            found.append(served)
    return found


def not_served(served: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The settings for which rollouts may be missing that were pruned for others."""
    return [
        name
        for name in PRUNED_FOR
        if wanted[name] != served[name] and not (name == "keep" and wanted["keep"] < served["keep"])
    ]
