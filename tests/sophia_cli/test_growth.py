"""More captions and rollouts, asked for later: what is there stays, and what is missing is made.

The tables are those of a run that was asked for as many from the start, byte for byte.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
import pytest

from data import tables
from data.errors import RefusedError
from data.records import Caption, Sample
from sophia_cli.execute import Attempt
from tests.command import assert_refused, result_of, sophia, work

SAMPLING = ("caption", "reason")
REWARDING = ("verify", "propagate-reward")
TABLES = ("captions", "rollouts", "verdicts", "rewards", "trajectories")
DEMO = "world:demo.toml"


def settings(num_captions: int, num_rollouts: int, *more: str) -> list[str]:
    return [
        *("propagate.alpha=0.3", "verify.num_workers=1"),
        *("models.policy.batch_size=4", "models.reasoner.batch_size=4"),
        *(f"caption.num_captions={num_captions}", f"reason.num_rollouts={num_rollouts}"),
        *more,
    ]


def do(
    run: Path,
    stages: Sequence[str],
    values: Sequence[str],
    redo: Literal["errors", "length"] | None = None,
) -> None:
    for stage in stages:
        work(stage, run, values, DEMO, attempt=Attempt(redo=redo))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("growth") / "run"
    result_of("ingest", "world:train", "--run", run, "--limit", "6", "--num-shards", "2")
    return run


def copy_of(run: Path, other: Path) -> Path:
    return Path(shutil.copytree(run, other))


def content(run: Path, table: str) -> list[dict[str, Any]]:
    return [row for path in tables.shards(run / table) for row in pq.read_table(path).to_pylist()]


def num_remade(run: Path, table: str) -> int:
    """How many rows were made again, of those that others are made from."""
    found = [tables.read_metadata(path) for path in tables.shards(run / table)]
    return sum(len(keys) for each in found if each for keys in each.remade.values())


@pytest.mark.timeout(600)
def test_a_run_that_grows_is_a_run_that_was_large_from_the_start(
    samples: Path, tmp_path: Path
) -> None:
    grown, large = copy_of(samples, tmp_path / "grown"), copy_of(samples, tmp_path / "large")
    for numbers in ((1, 2), (2, 3)):
        do(grown, (*SAMPLING, *REWARDING), settings(*numbers))
    do(large, (*SAMPLING, *REWARDING), settings(2, 3))
    for table in TABLES:
        assert content(grown, table) == content(large, table), table
    assert len(content(grown, "rollouts")) == 6 * 2 * 3
    fewer = [option for value in settings(2, 2) for option in ("--set", value)]
    done = sophia("reason", "--run", grown, "--config", DEMO, *fewer)
    assert_refused(done, 3, "reason.num_rollouts = 3, now 2", "raised later, not lowered")


def lose_an_image(run: Path) -> None:
    """Leave the first sample without one: its captions are not written, and never cut off."""
    path = tables.shards(run / "samples")[0]
    metadata = tables.read_metadata(path)
    first, *others = (Sample(**row) for row in tables.read_rows(path, Sample))
    path.unlink()
    rows = [replace(first, images=[]), *others]
    assert metadata is not None
    tables.write_atomically(path, tables.to_table(rows, Sample), metadata)


@pytest.mark.timeout(600)
def test_higher_limits_let_what_was_cut_off_go_on(samples: Path, tmp_path: Path) -> None:
    run = copy_of(samples, tmp_path / "run")
    lose_an_image(run)
    patient = copy_of(run, tmp_path / "patient")
    limits = {"captions": 96, "rollouts": 384}

    def limited() -> list[str]:
        numbers = (f"caption.max_tokens={limits['captions']}", limits["rollouts"])
        return settings(2, 2, numbers[0], f"reason.max_tokens={numbers[1]}")

    do(patient, (*SAMPLING, *REWARDING), limited())
    for table in limits:
        lengths = sorted(row["num_tokens"] for row in content(patient, table))
        limits[table] = lengths[2 * len(lengths) // 3] - 1
    do(run, (*SAMPLING, *REWARDING), limited())
    cut_off = [row for row in content(run, "captions") if row["finish_reason"] == "length"]
    assert 0 < len(cut_off) <= 5 * 2

    limits["captions"] = 96
    with pytest.raises(RefusedError, match=r"caption.max_tokens = \d+, now 96.*--redo length"):
        do(run, ["caption"], limited())
    do(run, ["caption"], limited(), "length")
    assert content(run, "captions") == content(patient, "captions")
    before = content(run, "rollouts")
    do(run, ["reason"], limited())
    keys = {(row["sample_id"], row["caption_index"]) for row in cut_off}
    for old, new in zip(before, content(run, "rollouts"), strict=True):
        assert old == new or (new["sample_id"], new["caption_index"]) in keys
    assert num_remade(run, "rollouts") == 2 * num_remade(run, "captions") == 2 * len(cut_off)

    limits["rollouts"] = 384
    do(run, ["reason"], limited(), "length")
    do(run, REWARDING, limited())
    for table in TABLES:
        assert content(run, table) == content(patient, table), table
    assert 0 < num_remade(run, "verdicts") < 6 * 2 * 2


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
def test_what_was_made_from_failed_rows_is_made_again_with_them(
    samples: Path, tmp_path: Path
) -> None:
    run, whole = copy_of(samples, tmp_path / "run"), tmp_path / "whole"
    values = settings(2, 2)
    do(run, ["caption"], values)
    copy_of(run, whole)
    lost = lose_a_caption(run)
    for each in (whole, run):
        do(each, ("reason", *REWARDING), values)
    before = content(run, "rollouts")
    failed = [row for row in before if row["error"]]
    assert [(row["sample_id"], row["caption_index"]) for row in failed] == [lost, lost]

    do(run, ["caption"], values, "errors")
    do(run, ("reason", *REWARDING), values)
    assert len(content(run, "rollouts")) == len(before)
    for table in TABLES:
        assert content(run, table) == content(whole, table), table
