"""Whole groups of on-policy rollouts, with rewards worked out by hand."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data import tables
from data.errors import ConfigError, InputError
from data.records import Reward, Trajectory
from stages.job import Outcome
from stages.propagate_reward import Config, run
from stages.trust import group_advantages
from stages.what_if import forecast
from tests.reports import SilentReport
from tests.stages.test_propagate_reward import JOB, Row, propagate, rows_of

Score = float | None
"""R_t; None: the judge named none."""
NOTHING_THOUGHT = 0.0
NO_SCORE = None


def write_thinking(folder: Path, rows: list[Row], scores: list[Score]) -> None:
    table = pa.table(
        {
            "sample_id": [row[0] for row in rows],
            "caption_index": pa.array([row[1] for row in rows], pa.int32()),
            "rollout_index": pa.array([row[2] for row in rows], pa.int32()),
            "thinking_reward": pa.array(scores, pa.float32()),
            "num_tokens": pa.array([7 if score else 0 for score in scores], pa.int32()),
        }
    )
    path = tables.shard_path(folder / "thinking", 0, 1)
    path.parent.mkdir(parents=True)
    pq.write_table(table, path)


def grouped(
    folder: Path, rows: list[Row], scores: list[Score] | None = None, **settings: object
) -> tuple[Outcome, dict[int, dict[str, Any]], dict[int, dict[str, Any]]]:
    """Outcome, and rewards and trajectories of a single sample by rollout_index."""
    if scores is not None:
        write_thinking(folder, rows, scores)
    outcome, _ = propagate(folder, rows, select="group", **settings)
    found = [
        {
            row["rollout_index"]: row
            for row in tables.read_rows(tables.shard_path(folder / name, 0, 1), record)
        }
        for name, record in (("rewards", Reward), ("trajectories", Trajectory))
    ]
    return outcome, *found


def test_a_group_is_whole_with_its_advantages(tmp_path: Path) -> None:
    # R_o = 1, 0, 0, 0: mean 1/4, standard deviation sqrt(3)/4.
    outcome, rewards, trajectories = grouped(tmp_path, rows_of("a", 0, "100t", [4, 9, 2, 7]))
    assert list(trajectories) == [0, 1, 2, 3]
    assert [row["reward"] for row in trajectories.values()] == [1, 0, 0, 0]
    expected = [math.sqrt(3), *[-1 / math.sqrt(3)] * 3]
    assert [row["advantage"] for row in trajectories.values()] == pytest.approx(expected)
    assert [row["finish_reason"] for row in trajectories.values()] == ["stop"] * 3 + ["length"]
    assert {row["thinking_reward"] for row in trajectories.values()} == {None}
    assert {row["trust_weight"] for row in trajectories.values()} == {None}
    assert rewards[1]["reason"] == "selected"
    assert rewards[3]["reason"] == "selected; truncated, which counts as wrong"
    assert outcome.figures["groups"]["rollouts_truncated"] == 1
    assert outcome.figures["funnel"]["trajectories"] == 4


def test_trust_in_thinking_rewards(tmp_path: Path) -> None:
    # mu_c = (0.1 + 0.3) / 2 = 0.2, mu_w = (0.7 + 0.9) / 2 = 0.8: gamma = exp(-0.6).
    scores: list[Score] = [0.1, 0.7, 0.3, 0.9]
    outcome, rewards, trajectories = grouped(tmp_path, rows_of("a", 0, "1010", [1] * 4), scores)
    for rows in (rewards, trajectories):
        assert [row["outcome_reward"] for row in rows.values()] == [1, 0, 1, 0]
        assert [row["thinking_reward"] for row in rows.values()] == pytest.approx(scores)
        assert [row["trust_weight"] for row in rows.values()] == pytest.approx([math.exp(-0.6)] * 4)
    assert [row["advantage"] for row in trajectories.values()] == [1, -1, 1, -1]
    assert outcome.figures["groups"]["groups_trusted_less"] == 1


def test_what_could_not_be_told_is_left_out_and_says_so(tmp_path: Path) -> None:
    rows = rows_of("a", 0, "10?11", [1] * 5)
    scores: list[Score] = [0.5, NOTHING_THOUGHT, 0.9, NO_SCORE, 0.7]
    outcome, rewards, trajectories = grouped(tmp_path, rows, scores)
    assert list(trajectories) == [0, 1, 4]
    expected = group_advantages([1, 0, 1])
    assert [row["advantage"] for row in trajectories.values()] == pytest.approx(expected)
    assert [row["thinking_reward"] for row in trajectories.values()] == pytest.approx([0.5, 0, 0.7])
    assert [row["reason"] for row in rewards.values()] == [
        "selected",
        "selected; it does not think, so R_t is 0",
        "not judged; timeout; left out of its group",
        "thinking not scored; left out of its group",
        "selected",
    ]
    assert rewards[2]["outcome_reward"] is None
    assert rewards[3]["thinking_reward"] is None
    groups = outcome.figures["groups"]
    assert (groups["rollouts_not_judged"], groups["rollouts_thinking_not_scored"]) == (1, 1)
    assert groups["rollouts_not_thinking"] == 1


def test_a_group_of_one_has_nothing_to_compare(tmp_path: Path) -> None:
    outcome, rewards, trajectories = grouped(tmp_path, rows_of("a", 0, "1??", [1] * 3))
    assert not trajectories
    assert rewards[0]["reason"] == "its group has fewer than two rollouts to compare"
    assert outcome.figures["groups"]["groups_too_small"] == 1


@pytest.mark.parametrize(("letters", "word"), [("111", "right"), ("000", "wrong")])
def test_uniform_groups_are_kept_as_in_the_paper_and_skipped_as_in_the_code(
    letters: str, word: str, tmp_path: Path
) -> None:
    rows = rows_of("a", 0, letters, [1] * 3)
    scores: list[Score] = [0.2, 0.6, 1.0]
    outcome, _, trajectories = grouped(tmp_path / "paper", rows, scores)
    assert [row["advantage"] for row in trajectories.values()] == [0, 0, 0]
    assert [row["thinking_reward"] for row in trajectories.values()] == pytest.approx(scores)
    assert [row["trust_weight"] for row in trajectories.values()] == [None] * 3
    assert outcome.figures["groups"][f"groups_all_{word}"] == 1
    outcome, rewards, trajectories = grouped(tmp_path / "code", rows, scores, variant="code")
    assert not trajectories
    assert rewards[0]["reason"] == f"its group is all {word}"
    assert outcome.figures["groups"][f"groups_all_{word}"] == 1


def test_the_codes_variant_counts_the_thinking_of_right_rollouts_only(tmp_path: Path) -> None:
    scores: list[Score] = [0.2, 0.9, NO_SCORE]
    _, _, trajectories = grouped(tmp_path, rows_of("a", 0, "100", [1] * 3), scores, variant="code")
    assert list(trajectories) == [0, 1, 2], "the judge need not score what is wrong"
    found = [row["thinking_reward"] for row in trajectories.values()]
    assert found == [pytest.approx(0.2), None, None]
    assert {row["trust_weight"] for row in trajectories.values()} == {None}


def test_a_rollout_that_the_judge_never_saw_is_named(tmp_path: Path) -> None:
    rows = rows_of("a", 0, "10", [1, 1])
    write_thinking(tmp_path, rows[:1], [0.5])
    with pytest.raises(InputError, match="no score of its thinking"):
        propagate(tmp_path, rows, select="group")


def test_groups_of_a_reasoners_rollouts_are_refused(tmp_path: Path) -> None:
    rows = rows_of("a", 0, "10", [1, 1])
    propagate(tmp_path, rows)  # writes the tables
    for made in ("rewards", "trajectories"):
        tables.shard_path(tmp_path / made, 0, 1).unlink()
    path = tables.shard_path(tmp_path / "rollouts", 0, 1)
    table = pq.read_table(path)
    path.unlink()
    written = tables.Metadata(stage="reason", digest="d", settings={"reason.behavior": "caption"})
    tables.write_atomically(path, table, written)
    with pytest.raises(ConfigError, match="a reasoner wrote"):
        run(replace(JOB, run_dir=tmp_path), Config(select="group"))


def test_there_is_no_what_if_of_groups(tmp_path: Path) -> None:
    propagate(tmp_path, rows_of("a", 0, "10", [1, 1]), select="group")
    with pytest.raises(ConfigError, match="no use"):
        forecast(
            tmp_path,
            select="group",
            alpha=0.75,
            keep=1,
            run_seed=0,
            report=SilentReport(),
            should_stop=lambda: False,
        )
