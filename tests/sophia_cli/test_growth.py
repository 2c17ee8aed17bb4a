"""More captions and rollouts, asked for later: what is there stays, and what is missing is made.

The tables are those of a run that was asked for as many from the start, byte for byte.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data import tables
from data.records import Caption
from tests.command import assert_refused, result_of, sophia

STAGES = ("caption", "reason", "reward")
TABLES = ("captions", "rollouts", "verdicts", "rewards", "trajectories")


def settings(num_captions: int, num_rollouts: int) -> list[str]:
    return [
        *("--config", "world:demo.toml", "--set", "propagate.alpha=0.3"),
        *("--set", "models.policy.batch_size=4", "--set", "models.reasoner.batch_size=4"),
        *("--set", f"caption.num_captions={num_captions}"),
        *("--set", f"reason.num_rollouts={num_rollouts}"),
    ]


def ingest(run: Path) -> Path:
    result_of("ingest", "world:train", "--run", run, "--limit", "6", "--num-shards", "2")
    return run


def content(run: Path, table: str) -> list[dict[str, Any]]:
    return [row for path in tables.shards(run / table) for row in pq.read_table(path).to_pylist()]


@pytest.mark.timeout(600)
def test_a_run_that_grows_is_a_run_that_was_large_from_the_start(tmp_path: Path) -> None:
    grown, large = ingest(tmp_path / "grown"), ingest(tmp_path / "large")
    for numbers in ((1, 2), (2, 3)):
        for stage in STAGES:
            result_of(stage, "--run", grown, *settings(*numbers))
    for stage in STAGES:
        result_of(stage, "--run", large, *settings(2, 3))
    for table in TABLES:
        assert content(grown, table) == content(large, table), table
    assert len(content(grown, "rollouts")) == 6 * 2 * 3
    done = sophia("reason", "--run", grown, *settings(2, 2))
    assert_refused(done, 3, "reason.num_rollouts = 3, now 2", "raised later, not lowered")


@pytest.mark.timeout(600)
def test_a_higher_limit_lets_what_was_cut_off_go_on(tmp_path: Path) -> None:
    run, patient = ingest(tmp_path / "run"), ingest(tmp_path / "patient")
    long = [*settings(1, 2), "--set", "reason.max_tokens=384"]
    for stage in ("caption", "reason"):
        result_of(stage, "--run", patient, *long)
    lengths = sorted(row["num_tokens"] for row in content(patient, "rollouts"))
    limit = lengths[len(lengths) // 2]
    short = [*settings(1, 2), "--set", f"reason.max_tokens={limit}"]
    for stage in ("caption", "reason"):
        result_of(stage, "--run", run, *short)
    reasons = {row["finish_reason"] for row in content(run, "rollouts")}
    assert reasons == {"stop", "length"}
    done = sophia("reason", "--run", run, *long)
    assert_refused(done, 3, f"reason.max_tokens = {limit}, now 384", "--redo length")
    result_of("reason", "--run", run, *long, "--redo", "length")
    assert content(run, "rollouts") == content(patient, "rollouts")


def lose_a_caption(run: Path) -> tuple[str, int]:
    """Have the first caption's row say that it failed. Its key."""
    path = tables.shards(run / "captions")[0]
    metadata = tables.read_metadata(path)
    assert metadata is not None
    first, *others = tables.read_rows(path, Caption)
    key = (first["sample_id"], first["caption_index"])
    failed = Caption(sample_id=key[0], caption_index=key[1], error="server: it was down")
    rows = [failed, *(Caption(**row) for row in others)]
    path.unlink()
    tables.write_atomically(path, tables.to_table(rows, Caption), replace(metadata, num_errors=1))
    return key


@pytest.mark.timeout(600)
def test_what_was_made_from_failed_rows_is_made_again_with_them(tmp_path: Path) -> None:
    run, whole = ingest(tmp_path / "run"), tmp_path / "whole"
    options = [*settings(2, 2), "--set", "run.max_error_rate=1.0"]
    result_of("caption", "--run", run, *options)
    shutil.copytree(run, whole)
    lost = lose_a_caption(run)
    for stage in STAGES[1:]:
        result_of(stage, "--run", whole, *options)
        result_of(stage, "--run", run, *options)
    before = content(run, "rollouts")
    failed = [row for row in before if row["error"]]
    assert [(row["sample_id"], row["caption_index"]) for row in failed] == [lost, lost]

    result_of("caption", "--run", run, *options, "--redo", "errors")
    assert result_of("reason", "--run", run, *options)["reason"]["rows"] == len(before)
    result_of("reward", "--run", run, *options)
    for table in TABLES:
        assert content(run, table) == content(whole, table), table
