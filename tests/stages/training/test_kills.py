"""Killed ten times at random moments and run again each time: the weights of an undisturbed one."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages.training.launch import environment
from tests.stages.training.kills import ANYWHERE
from tests.stages.training.runs import make_config, make_rows, weights_hash, write_run

PLACES = [
    "trainer.Trainer.accumulate",
    "checkpoint.load",
    "checkpoint.move_into_place",
    ANYWHERE,
    "checkpoint.prune",
    "trainer.Trainer._load_policy",
    "checkpoint.save",
    "checkpoint.newest",
    ANYWHERE,
    "export._phases",
]
"""What is running when a kill comes, or was some milliseconds before."""


@pytest.mark.parametrize(("zero_stage", "checkpoint_every"), [(2, 1), (3, 2)])
def test_killed_ten_times_at_random_moments_it_ends_in_the_same_weights(
    tmp_path: Path, policy: Path, zero_stage: int, checkpoint_every: int
) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    write_run(undisturbed, make_rows(24))
    shutil.copytree(undisturbed, killed)
    config = make_config(
        undisturbed,
        zero_stage=zero_stage,
        num_ranks=2,
        pack_length=250,
        num_epochs=2,
        checkpoint_every=checkpoint_every,
        keep_checkpoints=1,
    )
    arguments = [undisturbed, killed, policy, config.model_dump_json(), zero_stage, *PLACES]
    done = subprocess.run(
        [sys.executable, "-m", "tests.stages.training.kills", *map(str, arguments)],
        env=environment(2) | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0
    hits = [json.loads(line) for line in done.stdout.splitlines()]
    named = [(place, hit) for place, hit in zip(PLACES, hits, strict=True) if place != ANYWHERE]
    within = [place for place, hit in named if place in hit["struck"]]
    assert len(within) > len(named) / 2, "a few have returned by then"
    final = Path("checkpoints") / "final"
    assert weights_hash(killed / final) == weights_hash(undisturbed / final)
