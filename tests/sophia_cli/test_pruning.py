"""Pruning on the built-in world: the trajectories of a run without it, from fewer tokens."""

import shutil
from pathlib import Path

from data import tables
from data.records import Trajectory
from tests.command import assert_refused, result_of, sophia, work

VALUES = ("propagate.alpha=0.5", "models.reasoner.batch_size=8", "verify.num_workers=1")
DEMO = "world:demo.toml"


def trajectories(run: Path) -> list[dict[str, object]]:
    return list(tables.read_rows(tables.shard_path(run / "trajectories", 0, 1), Trajectory))


def test_trajectories_are_the_same(tmp_path: Path) -> None:
    off, exact = tmp_path / "off", tmp_path / "exact"
    result_of("ingest", "world:train", "--run", off, "--limit", "8")
    work("caption", off, VALUES, DEMO)
    shutil.copytree(off, exact)
    pruning = (*VALUES, "reason.prune=exact")
    for run, values in ((off, VALUES), (exact, pruning)):
        outcome = work("reason", run, values, DEMO)
        for stage in ("verify", "propagate-reward"):
            work(stage, run, values, DEMO)
    assert outcome.figures["pruning"]["rollouts_pruned"] > 10
    assert trajectories(exact) == trajectories(off) != []
    tokens = [
        result_of("status", "--run", run)["tables"]["rollouts"]["tokens"] for run in (off, exact)
    ]
    assert tokens[1] < tokens[0]

    rest = ["--run", exact, "--config", DEMO]
    rest += [option for value in pruning for option in ("--set", value)]
    done = sophia("propagate-reward", *rest, "--set", "propagate.alpha=0.25")
    assert_refused(done, 3, "propagate.alpha = 0.5, now 0.25")
    done = sophia("reason", *rest, "--set", "propagate.select=random")
    assert_refused(done, 2, "propagate.select")
