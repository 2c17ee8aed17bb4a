"""The stage against Eq. 5 and 6 in plain Python, on 10,000 small random samples."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby, product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data import tables
from data.errors import InputError
from data.records import Reward, Trajectory
from data.tables import taking
from stages import rollout_shard
from stages.job import Job
from stages.propagate_reward import Config, run
from tests.reports import SilentReport
from tests.stages.equations import CaptionReward, Scored, caption_reward, choose

SELECTS = ("shortest", "random-qualified", "no-caption-reward", "random")
ALPHAS = (0.0, 0.3, 0.5, 0.7, 0.75, 0.9)
SAMPLES_PER_RUN = 140
KINDS: dict[str, tuple[str, str, float | None]] = {
    "right": ("stop", "correct", 1.0),
    "wrong": ("stop", "incorrect", 0.0),
    "unanswered": ("stop", "no_answer", 0.0),
    "unjudged": ("stop", "timeout", None),
    "truncated": ("length", "truncated", 0.0),
    "right but cut off": ("length", "correct", 1.0),
    "failed": ("error", "error", None),
    "pruned": ("pruned", "unverifiable", None),
}


def make_sample(draw: random.Random, name: str) -> list[Scored]:
    """A sample with captions of different sizes; few lengths, so that there are ties."""
    longest = draw.choice([1, 3, 10])
    rows = []
    for caption in draw.sample(range(9), draw.randint(1, 4)):
        rate = draw.choice([0.0, 0.5, 0.8, 1.0])
        for rollout in draw.sample(range(12), draw.choice([1, 2, 3, 4, 8, 10])):
            kind = "right" if draw.random() < rate else draw.choice(["wrong", "unanswered"])
            if draw.random() < 0.12:
                kind = draw.choice(list(KINDS))
            finish_reason, status, outcome = KINDS[kind]
            rows.append(
                Scored(
                    sample_id=name,
                    caption_index=caption,
                    rollout_index=rollout,
                    num_tokens=draw.randint(1, longest),
                    finish_reason=finish_reason,
                    status=status,
                    outcome_reward=outcome,
                )
            )
    return rows


def write(folder: Path, rollouts: list[Scored], verdicts: list[Scored]) -> None:
    """Both tables, in row groups of a few rows."""
    columns = {
        "rollouts": ("num_tokens", "finish_reason"),
        "verdicts": ("status", "outcome_reward"),
    }
    types = {"num_tokens": pa.int32(), "outcome_reward": pa.float32()}
    for (name, own), rows in zip(columns.items(), (rollouts, verdicts), strict=True):
        table = {
            "sample_id": [row.sample_id for row in rows],
            "caption_index": pa.array([row.caption_index for row in rows], pa.int32()),
            "rollout_index": pa.array([row.rollout_index for row in rows], pa.int32()),
        }
        for column in own:
            values = [getattr(row, column) for row in rows]
            table[column] = pa.array(values, types.get(column, pa.string()))
        if name == "rollouts":
            table["text"] = [str(row.key) for row in rows]
        path = tables.shard_path(folder / name, 0, 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(table), path, row_group_size=50)


def job(folder: Path, seed: int) -> Job:
    return Job(
        stage="propagate-reward",
        run_dir=folder,
        seed=seed,
        models={},
        metadata=tables.Metadata(stage="propagate-reward", digest="d"),
        report=SilentReport(),
    )


def judge(
    rows: Iterable[Scored], config: Config, seed: int
) -> tuple[dict[tuple[str, int], CaptionReward], set[tuple[str, int, int]]]:
    """Caption rewards and choices, one sample after the other."""
    captions, chosen = {}, set()
    for name, of_sample in groupby(rows, key=lambda row: row.sample_id):
        own = list(of_sample)
        found = {
            index: caption_reward([row for row in own if row.caption_index == index], config.alpha)
            for index in {row.caption_index for row in own}
        }
        captions |= {(name, index): reward for index, reward in found.items()}
        chosen |= {row.key for row in choose(own, found, config, seed)}
    return captions, chosen


def check_reason(reason: str, row: Scored, state: str, is_chosen: bool, config: Config) -> None:
    """That the reason says what became of it, and on which side of alpha its caption is."""
    assert (reason == "selected") == is_chosen
    if is_chosen or config.select == "random":
        return
    if row.outcome_reward is None:
        assert ("pruned" in reason) == (row.finish_reason == "pruned")
        assert reason.endswith("caption undecided" if state == "undecided" else f"{state} alpha")
    elif row.outcome_reward == 0:
        assert reason == row.status
    elif config.select != "no-caption-reward" and state != "above":
        assert ("at or below alpha" in reason) == (state == "below")
        assert ("unjudged" in reason) == (state == "undecided")
    else:
        assert reason.startswith("not ")


@pytest.mark.parametrize("select", SELECTS)
def test_selection_rewards_and_reasons(
    select: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_shard, "PIECE_ROWS", 300)
    monkeypatch.setattr(rollout_shard, "BATCH_ROWS", 70)
    monkeypatch.setattr(taking, "TAKEN_ROWS", 30)
    seen = Counter[str]()
    judged = 0
    for seed, (alpha, keep) in enumerate(product(ALPHAS, (1, 2, 3))):
        draw = random.Random(f"{select} {seed}")
        config = Config.model_validate({"alpha": alpha, "keep": keep, "select": select})
        names = [f"{draw.choice('abüZ')}{number}" for number in range(SAMPLES_PER_RUN)]
        rows = [row for name in names for row in make_sample(draw, name)]
        captions, chosen = judge(rows, config, seed)
        verdicts = [replace(row) for row in rows]
        if seed % 2:
            draw.shuffle(rows)
            draw.shuffle(verdicts)
        folder = tmp_path / str(seed)
        lost = draw.randrange(len(verdicts))
        write(folder, rows, verdicts[:lost] + verdicts[lost + 1 :])
        with pytest.raises(InputError) as error:
            run(job(folder, seed), config)
        assert str(verdicts[lost].key) in error.value.what

        write(folder, rows, verdicts)
        outcome = run(job(folder, seed), config)
        rewards = list(tables.read_rows(tables.shard_path(folder / "rewards", 0, 1), Reward))
        found = [(row["sample_id"], row["caption_index"], row["rollout_index"]) for row in rewards]
        place = {name: at for at, name in enumerate(dict.fromkeys(row.sample_id for row in rows))}
        assert found == sorted((row.key for row in rows), key=lambda key: (place[key[0]], key[1:]))
        by_key = {row.key: row for row in rows}
        for key, reward in zip(found, rewards, strict=True):
            row, caption = by_key[key], captions[key[:2]]
            assert reward["outcome_reward"] == row.outcome_reward
            assert reward["caption_reward"] == pytest.approx(caption.value)
            assert reward["selected"] == (key in chosen)
            check_reason(reward["reason"], row, caption.state, key in chosen, config)
            seen[caption.state, row.finish_reason, row.status] += 1
        path = tables.shard_path(folder / "trajectories", 0, 1)
        trained_on = [row["response"] for row in tables.read_rows(path, Trajectory)]
        assert trained_on == [str(row.key) for row in rows if row.key in chosen]
        funnel = outcome.figures["funnel"]
        assert funnel["samples"] == SAMPLES_PER_RUN
        judged += funnel["samples"]
        assert funnel["captions"] == len(captions)
        assert funnel["rollouts"] == len(rows)
        assert funnel["judged"] == sum(row.outcome_reward is not None for row in rows)
        assert funnel["right"] == sum(row.outcome_reward == 1 for row in rows)
        above = [caption for caption in captions.values() if caption.state == "above"]
        assert funnel["captions_above_alpha"] == len(above)
        right = {row.sample_id for row in rows if row.outcome_reward == 1}
        assert funnel["samples_with_right"] == len(right)
        assert funnel["samples_kept"] == len({key[0] for key in chosen})
        assert funnel["trajectories"] == len(chosen)
        assert sum(outcome.figures["caption_rewards"].values()) == len(captions)
    assert judged * len(SELECTS) >= 10_000, "samples over all ways to select"
    states = {state for state, _, _ in seen}
    assert states == {"above", "below", "undecided"}
    assert {kind[1:] for kind in seen} == {kind[:2] for kind in KINDS.values()}
