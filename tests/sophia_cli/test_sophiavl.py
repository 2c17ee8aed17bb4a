"""SophiaVL-R1's recipe on the built-in world, with a judge that vLLM runs, trained here."""

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForImageTextToText

from data import tables
from data.records import Rollout, Sample, Thinking, Trajectory
from data.world import scene_seed
from data.world.questions import ask
from data.world.reasoning import reason
from data.world.scenes import CELLS, make_scene, render
from stages.trust import group_advantages, trust_weight
from tests.command import assert_refused, result_of, sophia, work

JUDGE_PROMPT = "judge.prompt=world:prompts/judge.txt"
FAST = (
    *("train.num_ranks=1", "train.num_epochs=1", "train.pack_length=4096", "train.dtype=float32"),
    *("train.normalize=trajectory-mean", "train.mix={}"),
)
FILES = ("configs/sophiavl-r1.toml", "world:demo.toml")
RECIPE = (
    *(JUDGE_PROMPT, "models.policy.engine=transformers", "models.policy.dtype=float32"),
    *("models.policy.engine_args={}", "models.judge.dtype=float32"),
    "models.judge.engine_args={max_num_seqs=16, kv_cache_memory_bytes=67108864}",
    *("judge.max_tokens=32", "reason.max_tokens=256", "verify.num_workers=1", *FAST),
    *("train.batch_size=16", "train.learning_rate=1e-4"),
)
PER_BIN = 20


def write_table(run: Path, table: str, rows: list[Any]) -> None:
    path = tables.shard_path(run / table, 0, 1)
    metadata = tables.Metadata(stage="test", digest="made")
    tables.write_atomically(path, tables.to_table(rows, type(rows[0])), metadata)


def write_judgements(run: Path, per_score: int) -> None:
    """Thinking about scenes, scored by rule: a tenth off for each cell that is left out."""
    samples, rollouts, thinking = [], [], []
    for number in range(10 * per_score):
        scene = make_scene(scene_seed("pretrain", 7, number))
        rng = random.Random(number)
        question = ask(scene, rng)
        num_skipped = number % 10
        skipped = rng.sample(CELLS, min(num_skipped, len(CELLS)))
        cells = reason(scene, question, rng).split(", ")
        text = ", ".join(cell for cell in cells if cell.split()[0] not in skipped)
        key = {"sample_id": f"judged-{number:04d}", "caption_index": 0, "rollout_index": 0}
        images = [{"bytes": render(scene), "path": None}]
        samples.append(Sample(sample_id=key["sample_id"], images=images, question=question.text))
        rollouts.append(Rollout(**key, text=text, finish_reason="stop"))
        score = round(1 - num_skipped / 10, 1)
        judgement = {"text": f"Score: {score}", "finish_reason": "stop"}
        thinking.append(Thinking(**key, thinking_reward=score, **judgement))
    write_table(run, "samples", samples)
    write_table(run, "rollouts", rollouts)
    write_table(run, "thinking", thinking)


def write_warm_up(run: Path, count: int) -> None:
    """Questions about pictures, thought through."""
    samples, trajectories = [], []
    for number in range(count):
        scene = make_scene(scene_seed("pretrain", 8, number))
        rng = random.Random(number)
        question = ask(scene, rng)
        name, images = f"warm-{number:04d}", [{"bytes": render(scene), "path": None}]
        samples.append(Sample(sample_id=name, images=images, question=question.text))
        key = {"sample_id": name, "caption_index": 0, "rollout_index": 0}
        trajectories.append(
            Trajectory(**key, response=reason(scene, question, rng), finish_reason="stop")
        )
    write_table(run, "samples", samples)
    write_table(run, "trajectories", trajectories)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world's policy that has learnt to judge from evenly sampled scores."""
    folder = tmp_path_factory.mktemp("judge")
    write_judgements(folder / "large", PER_BIN + 5)
    found = result_of(
        *("judge-data", "--run", folder / "large", "--to", folder / "own"),
        *("--per-bin", str(PER_BIN), "--set", JUDGE_PROMPT),
    )
    assert sum(found["there"]) == 10 * (PER_BIN + 5)
    assert max(found["taken"]) == PER_BIN
    return fine_tune(folder / "own", "1.5e-3", 4)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world's policy that thinks before it answers, not always rightly."""
    run = tmp_path_factory.mktemp("policy") / "run"
    write_warm_up(run, 256)
    return fine_tune(run, "1.5e-3", 8)


def fine_tune(run: Path, learning_rate: str, batch_size: int) -> Path:
    """The policy that `train.objective = "sft"` makes of a run."""
    values = (*FAST, "train.objective=sft", f"train.learning_rate={learning_rate}")
    outcome = work("train", run, [*values, f"train.batch_size={batch_size}"], "world:demo.toml")
    assert outcome.errors == 0
    return run / "checkpoints" / "final"


def rows_of(run: Path, table: str, record: type) -> list[dict[str, Any]]:
    return list(tables.read_rows(tables.shard_path(run / table, 0, 1), record))


@pytest.mark.timeout(1800)  # eight commands, and two trainings before them
def test_the_recipe(judge: Path, policy: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    values = (*RECIPE, f"models.policy.path={policy}", f"models.judge.path={judge}")
    result_of("ingest", "world:train", "--run", run, "--limit", "16", "--num-shards", "1")
    for stage in ("reason", "judge", "verify", "propagate-reward"):
        assert work(stage, run, values, *FILES).rows == 16 * 4

    judged = rows_of(run, "thinking", Thinking)
    thinking = [row for row in judged if row["text"] is not None]
    assert len(thinking) > 16
    assert all(re.fullmatch(r"Score: [01]\.\d", row["text"]) for row in thinking)
    assert {row["thinking_reward"] for row in judged if row["text"] is None} <= {0.0}

    rollouts = {(r["sample_id"], r["rollout_index"]): r for r in rows_of(run, "rollouts", Rollout)}
    trajectories = rows_of(run, "trajectories", Trajectory)
    assert len(trajectories) == 16 * 4, "all were judged, and those that don't think have R_t = 0"
    group = [row for row in trajectories if row["sample_id"] == trajectories[0]["sample_id"]]
    assert len(group) == 4
    for row in group:
        rollout = rollouts[row["sample_id"], row["rollout_index"]]
        assert row["token_ids"] == rollout["token_ids"]
        assert row["behavior_logprob"] == rollout["logprob"]
    outcomes, scores = (
        [row[name] for row in group] for name in ("outcome_reward", "thinking_reward")
    )
    expected = trust_weight(outcomes, scores)
    assert group[0]["trust_weight"] == (None if expected is None else pytest.approx(expected))
    assert [row["advantage"] for row in group] == pytest.approx(group_advantages(outcomes))

    told = [option for file in FILES for option in ("--config", file)]
    told += [option for value in values for option in ("--set", value)]
    done = sophia("train", "--run", run, *told)
    assert done.returncode == 0, done.stderr
    assert "pi_theta / mu over" in done.stdout and "mu is the policy that wrote" in done.stdout
    figures = work("train", run, values, *FILES).figures
    assert figures["steps"] == 4
    assert figures["ratio"]["before"]["delta"] < 1e-3, "it trains on what it wrote, as it wrote it"
    assert figures["ratio"]["after"]["delta"] > 1e-2
    (progress,) = (run / "metrics").glob("train-*.jsonl")
    first = json.loads(progress.read_text().splitlines()[0])
    assert first["largest_ratio_deviation"] < 1e-3
    assert first["gradient_norm"] > 0
    AutoModelForImageTextToText.from_pretrained(run / "checkpoints" / "final")


def test_a_run_for_a_judge_is_not_overwritten(tmp_path: Path) -> None:
    write_judgements(tmp_path / "large", 1)
    command = ("judge-data", "--run", tmp_path / "large", "--to", tmp_path / "own")
    command = (*command, "--set", JUDGE_PROMPT)
    first = result_of(*command, "--per-bin", "1")
    assert result_of(*command, "--per-bin", "1") == first, "the same again changes nothing"
    assert_refused(sophia(*command, "--per-bin", "2"), 3, "another way", "--to")
    shutil.rmtree(tmp_path / "large" / "thinking")
    assert_refused(sophia(*command, "--per-bin", "1"), 5, "sophia judge")
