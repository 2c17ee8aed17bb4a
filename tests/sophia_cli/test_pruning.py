"""Pruning on the built-in world: the trajectories of a run without it, from fewer tokens."""

import shutil
from pathlib import Path

from data import tables
from data.records import Trajectory
from tests.command import assert_refused, result_of, sophia

SETTINGS = (
    *("--config", "world:demo.toml", "--set", "propagate.alpha=0.5"),
    *("--set", "models.reasoner.batch_size=8"),
)


def trajectories(run: Path) -> list[dict[str, object]]:
    return list(tables.read_rows(tables.shard_path(run / "trajectories", 0, 1), Trajectory))


def test_trajectories_are_the_same(tmp_path: Path) -> None:
    off, exact = tmp_path / "off", tmp_path / "exact"
    result_of("ingest", "world:train", "--run", off, "--limit", "8")
    result_of("caption", "--run", off, *SETTINGS)
    shutil.copytree(off, exact)
    pruning = (*SETTINGS, "--set", "reason.prune=exact")
    for run, settings in ((off, SETTINGS), (exact, pruning)):
        outcome = result_of("reason", "--run", run, *settings)["reason"]
        result_of("reward", "--run", run, *settings)
    assert outcome["figures"]["pruning"]["rollouts_pruned"] > 10
    assert trajectories(exact) == trajectories(off) != []
    tokens = [
        result_of("status", "--run", run)["tables"]["rollouts"]["tokens"] for run in (off, exact)
    ]
    assert tokens[1] < tokens[0]

    rest = ("--run", exact, *pruning)
    done = sophia("propagate-reward", *rest, "--set", "propagate.alpha=0.25")
    assert_refused(done, 3, "propagate.alpha = 0.5, now 0.25")
    done = sophia("reason", *rest, "--set", "propagate.select=random")
    assert_refused(done, 2, "propagate.select")
