"""Eq. 5 and Eq. 6 against tables worked out by hand, written by pyarrow alone."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data import tables
from data.errors import InputError, RefusedError
from data.records import Reward, Trajectory
from stages.job import Job, Outcome
from stages.propagate_reward import Config, run
from stages.rollout_shard import read_shard
from stages.selection import caption_rewards
from tests.reports import SilentReport
from tests.stages.equations import Scored, caption_reward

JOB = Job(
    stage="propagate-reward",
    run_dir=Path(),
    seed=0,
    models={},
    metadata=tables.Metadata(stage="propagate-reward", digest="d"),
    report=SilentReport(),
)

Row = tuple[str, int, int, str, int, str, float | None]
"""sample, caption, rollout, finish_reason, num_tokens, status, outcome_reward"""


def rows_of(sample: str, caption: int, rewards: str, lengths: list[int]) -> list[Row]:
    """`1` right, `0` wrong, `?` not judged, `p` pruned, `t` truncated."""
    known = {
        "1": ("stop", "correct", 1.0),
        "0": ("stop", "incorrect", 0.0),
        "?": ("stop", "timeout", None),
        "p": ("pruned", "error", None),
        "t": ("length", "truncated", 0.0),
    }
    rows: list[Row] = []
    for rollout, (letter, length) in enumerate(zip(rewards, lengths, strict=True)):
        finish, status, reward = known[letter]
        rows.append((sample, caption, rollout, finish, length, status, reward))
    return rows


def scored(rows: list[Row]) -> list[Scored]:
    names = ("sample_id", "caption_index", "rollout_index", "finish_reason", "num_tokens")
    names += ("status", "outcome_reward")
    return [Scored(**dict(zip(names, row, strict=True))) for row in rows]


def propagate(
    folder: Path, rows: list[Row], *, prefill: str | None = None, **settings: object
) -> tuple[Outcome, Path]:
    """Run the stage over foreign tables of one shard."""
    keys = {
        "sample_id": [row[0] for row in rows],
        "caption_index": pa.array([row[1] for row in rows], pa.int32()),
        "rollout_index": pa.array([row[2] for row in rows], pa.int32()),
    }
    rollouts = keys | {
        "text": [f"text {row[:3]}" for row in rows],
        "num_tokens": pa.array([row[4] for row in rows], pa.int32()),
        "finish_reason": [row[3] for row in rows],
        "prefill": pa.array([prefill] * len(rows), pa.string()),
    }
    verdicts = keys | {
        "status": [row[5] for row in rows],
        "outcome_reward": pa.array([row[6] for row in rows], pa.float32()),
    }
    for name, columns in (("rollouts", rollouts), ("verdicts", verdicts)):
        path = tables.shard_path(folder / name, 0, 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path)
    config = Config.model_validate(settings)
    digest = tables.digest_of(config.model_dump())
    job = Job(
        stage="propagate-reward",
        run_dir=folder,
        seed=0,
        models={},
        metadata=tables.Metadata(
            stage="propagate-reward", digest=digest, settings=config.model_dump()
        ),
        report=SilentReport(),
    )
    return run(job, config), folder


def selected(folder: Path) -> list[tuple[str, int, int]]:
    path = tables.shard_path(folder / "trajectories", 0, 1)
    return [
        (row["sample_id"], row["caption_index"], row["rollout_index"])
        for row in tables.read_rows(path, Trajectory)
    ]


def rewards(folder: Path) -> dict[tuple[int, int], dict[str, object]]:
    path = tables.shard_path(folder / "rewards", 0, 1)
    return {
        (row["caption_index"], row["rollout_index"]): row for row in tables.read_rows(path, Reward)
    }


INPUTS = ("rollouts", "verdicts")
EIGHT = [80, 70, 60, 50, 40, 30, 20, 10]


def test_shortest_right_rollout_of_a_caption_strictly_above_alpha(tmp_path: Path) -> None:
    rows = rows_of("a", 0, "11111100", EIGHT)  # 6/8 = 0.75 is not above alpha
    rows += rows_of("a", 1, "11111110", EIGHT)  # 7/8 is; its rollout 7 is wrong
    outcome, folder = propagate(tmp_path, rows)
    assert selected(folder) == [("a", 1, 6)]
    table = rewards(folder)
    assert table[0, 0]["caption_reward"] == 0.75
    assert table[1, 0]["caption_reward"] == 0.875
    assert table[1, 6]["selected"] and table[1, 6]["reason"] == "selected"
    assert table[0, 5]["reason"] == "caption reward at or below alpha"
    assert table[1, 7]["reason"] == "incorrect"
    assert outcome.figures["funnel"] == {
        "samples": 1,
        "captions": 2,
        "rollouts": 16,
        "judged": 16,
        "right": 13,
        "captions_above_alpha": 1,
        "samples_with_right": 1,
        "samples_kept": 1,
        "trajectories": 1,
    }


def test_ties_go_to_the_smallest_key(tmp_path: Path) -> None:
    rows = rows_of("a", 1, "1111", [5, 4, 4, 9]) + rows_of("a", 0, "1111", [9, 4, 5, 4])
    assert selected(propagate(tmp_path, rows)[1]) == [("a", 0, 1)]


def test_keep_takes_the_n_shortest(tmp_path: Path) -> None:
    rows = rows_of("a", 0, "1111", [5, 3, 8, 6]) + rows_of("a", 1, "1111", [4, 9, 9, 9])
    assert selected(propagate(tmp_path, rows, keep=3)[1]) == [("a", 0, 0), ("a", 0, 1), ("a", 1, 0)]


def test_truncated_counts_as_wrong(tmp_path: Path) -> None:
    rows = rows_of("a", 0, "111t", [1, 1, 1, 1])
    assert selected(propagate(tmp_path, rows)[1]) == []
    assert rewards(tmp_path)[0, 0]["caption_reward"] == 0.75


def test_no_caption_reward_takes_any_right_rollout(tmp_path: Path) -> None:
    rows = rows_of("a", 0, "0001", [1, 1, 1, 7]) + rows_of("a", 1, "1111", [9, 9, 9, 9])
    assert selected(propagate(tmp_path, rows, select="no-caption-reward")[1]) == [("a", 0, 3)]


def test_random_selections_are_seeded_and_stay_in_their_set(tmp_path: Path) -> None:
    rows = [
        row
        for sample in "abcdefghijklmnop"
        for row in rows_of(sample, 0, "1101", EIGHT[:4]) + rows_of(sample, 1, "1111", EIGHT[4:])
    ]
    qualified = selected(propagate(tmp_path / "one", rows, select="random-qualified")[1])
    again = selected(propagate(tmp_path / "two", rows, select="random-qualified")[1])
    assert qualified == again and len(qualified) == 16
    assert {caption for _, caption, _ in qualified} == {1}
    assert len({rollout for _, _, rollout in qualified}) > 1
    anything = selected(propagate(tmp_path / "three", rows, select="random")[1])
    assert {caption for _, caption, _ in anything} == {0, 1}
    assert ("incorrect", 1) in {(rewards_status(rows, key), 1) for key in anything}, (
        "over 16 samples with one wrong rollout in eight, some wrong one is drawn"
    )


def rewards_status(rows: list[Row], key: tuple[str, int, int]) -> str:
    return next(row[5] for row in rows if row[:3] == key)


@pytest.mark.parametrize(
    ("letters", "state", "value"),
    [
        ("1111111?", "above", 1.0),  # 7/8 above alpha whatever the last one is: mean of the judged
        ("111111??", "undecided", None),  # 6/8 or up to 8/8
        ("1111110?", "undecided", None),  # 6/8 or 7/8
        ("111100??", "below", 4 / 6),  # at most 6/8
        ("????????", "undecided", None),
        ("00pppppp", "below", 0.0),  # pruned because it can't get above
        ("1111111p", "above", 1.0),
    ],
)
def test_unjudged_and_pruned_rollouts(
    letters: str, state: str, value: float | None, tmp_path: Path
) -> None:
    propagate(tmp_path, rows_of("a", 0, letters, EIGHT))
    shard = read_shard(*(tables.shard_path(tmp_path / name, 0, 1) for name in INPUTS))
    (piece,) = shard.pieces()
    found = caption_rewards(piece, alpha=0.75)
    states = {(True, False): "above", (False, True): "below", (False, False): "undecided"}
    assert states[bool(found.is_above[0]), bool(found.is_below[0])] == state
    assert rewards(tmp_path)[0, 0]["caption_reward"] == pytest.approx(value)
    expected = caption_reward(scored(rows_of("a", 0, letters, EIGHT)), 0.75)
    assert (expected.state, expected.value) == (state, value), "the plain one says the same"


def test_undecided_caption_is_not_selected_and_says_so(tmp_path: Path) -> None:
    rows = rows_of("a", 0, "111?", [1, 2, 3, 4])
    assert selected(propagate(tmp_path, rows)[1]) == []
    assert "unjudged" in str(rewards(tmp_path)[0, 0]["reason"])


def test_reasons_lie_in_the_file_once(tmp_path: Path) -> None:
    """Cases that differ share a reason; with one twice in its dictionary, Parquet uses none."""
    rows = [*rows_of("a", 0, "11110", [9] * 5), *rows_of("a", 1, "10000", [9] * 5)]
    propagate(tmp_path, rows * 50)
    column = pq.ParquetFile(tables.shard_path(tmp_path / "rewards", 0, 1)).metadata.row_group(0)
    reason = next(
        column.column(place)
        for place in range(column.num_columns)
        if column.column(place).path_in_schema == "reason"
    )
    assert "RLE_DICTIONARY" in reason.encodings


def test_response_is_the_text_with_its_prefill(tmp_path: Path) -> None:
    rows = rows_of("a", 0, "1", [3])
    for prefill in (None, "<think>\n"):
        propagate(tmp_path / str(prefill), rows, prefill=prefill)
        path = tables.shard_path(tmp_path / str(prefill) / "trajectories", 0, 1)
        (row,) = tables.read_rows(path, Trajectory)
        assert row["response"] == (prefill or "") + "text ('a', 0, 0)"


def test_changed_setting_is_refused_by_name(tmp_path: Path) -> None:
    rows = rows_of("a", 0, "1", [3])
    propagate(tmp_path, rows)
    with pytest.raises(RefusedError, match=r"alpha = 0\.75, now 0\.5"):
        propagate(tmp_path, rows, alpha=0.5)


def test_missing_verdict_is_named(tmp_path: Path) -> None:
    rows = rows_of("a", 0, "11", [3, 3])
    propagate(tmp_path, rows)
    for name in ("rewards", "trajectories"):
        tables.shard_path(tmp_path / name, 0, 1).unlink()
    path = tables.shard_path(tmp_path / "verdicts", 0, 1)
    pq.write_table(pq.read_table(path).slice(0, 1), path)
    config = Config()
    job = Job(
        stage="propagate-reward",
        run_dir=tmp_path,
        seed=0,
        models={},
        metadata=tables.Metadata(stage="propagate-reward", digest="x"),
        report=SilentReport(),
    )
    with pytest.raises(InputError, match="no verdict"):
        run(job, config)


def test_pruned_rollouts_serve_only_what_they_were_pruned_for(tmp_path: Path) -> None:
    settings = {
        "reason.prune": "exact",
        **{"propagate.alpha": 0.5, "propagate.keep": 2, "propagate.select": "shortest"},
    }
    written = tables.Metadata(stage="reason", digest="d", settings=settings)

    def with_pruned(name: str, **config: object) -> Path:
        folder = tmp_path / name
        rows = rows_of("a", 0, "111p", [5, 6, 7, 8])
        path = tables.shard_path(folder / "rollouts", 0, 1)
        propagate(folder, rows, alpha=0.5, keep=2)  # writes the tables
        table = pq.read_table(path)
        path.unlink()
        tables.write_atomically(path, table, written)
        for made in ("rewards", "trajectories"):
            tables.shard_path(folder / made, 0, 1).unlink()
        settings = Config.model_validate({"alpha": 0.5, "keep": 2} | config)
        metadata = tables.Metadata(stage="propagate-reward", digest="e")
        job = replace(JOB, run_dir=folder, metadata=metadata)
        run(job, settings)
        return folder

    folder = with_pruned("same")
    assert selected(folder) == [("a", 0, 0), ("a", 0, 1)]
    assert rewards(folder)[0, 3]["reason"] == "pruned; caption settled above alpha"
    assert rewards(folder)[0, 3]["caption_reward"] == 1.0
    assert selected(with_pruned("fewer", keep=1)) == [("a", 0, 0)]
    for name, value in (("alpha", 0.75), ("keep", 3), ("select", "random")):
        with pytest.raises(RefusedError, match=f"propagate.{name} = .*, now {value!r}"):
            with_pruned(name, **{name: value})
