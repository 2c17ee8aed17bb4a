"""A tiny language model, trained for it here, judges answers that the rules reject."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data import tables
from data.errors import RefusedError
from data.records import Attempted, Rollout, Sample, Verdict
from sophia_cli.execute import TOO_MANY_ERRORS
from tests.command import SOPHIA, assert_refused, result_of, sophia, work
from tests.tiny_models import save_judge

PROMPT = "{{question}}\n{{gold}}|{{answer}}"
GOLD = "the Dutch capital"
REPLIES = {
    "Amsterdam": "</think>\nVerdict: same",
    "Mokum": "</think>\nVerdict: same",
    "Delft": "</think>\nVerdict: different",
    "Leiden": "</think>\nI can't say.",
}
NUM_SAMPLES = 6
DEMO = "world:demo.toml"


def lesson(question: str, gold: str, answer: str, reply: str) -> tuple[str, str]:
    return f"{question}\n{gold}|{answer}", reply


def values_of(folder: Path, *more: str) -> list[str]:
    return [
        *("verify.llm_judge=true", "verify.num_workers=1", "verify.llm_max_tokens=32"),
        f"models.verifier.path={folder / 'judge'}",
        f"verify.llm_judge_prompt={folder / 'prompt.txt'}",
        "run.commit_seconds=0.1",
        *more,
    ]


def settings(folder: Path, *more: str) -> list[str]:
    return [argument for value in values_of(folder, *more) for argument in ("--set", value)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A judge, its prompt, and a run of two shards whose rollouts answer a question."""
    folder = tmp_path_factory.mktemp("judged")
    lessons = [lesson("Which city?", GOLD, answer, REPLIES[answer]) for answer in REPLIES]
    save_judge(folder / "judge", lessons)
    (folder / "prompt.txt").write_text(PROMPT)
    metadata = tables.Metadata(stage="test", digest="d", root="d")
    samples = [
        Sample(sample_id=f"s{number}", question="Which city?", answer=GOLD)
        for number in range(NUM_SAMPLES)
    ]
    for index in range(2):
        members = samples[index::2]
        rollouts = [
            Rollout(
                sample_id=sample.sample_id,
                caption_index=0,
                rollout_index=number,
                text=f"<think>Hm.</think>\\boxed{{{answer}}}",
                finish_reason="stop",
            )
            for sample in members
            # The last are no lessons: what is said of them is nonsense, and always the same.
            for number, answer in enumerate([*REPLIES, GOLD, *_others(sample.sample_id)])
        ]
        for name, rows in (("samples", members), ("rollouts", rollouts)):
            path = tables.shard_path(folder / "run" / name, index, 2)
            tables.write_atomically(path, tables.to_table(rows, type(rows[0])), metadata)  # type: ignore[attr-defined]
    return folder


def _others(name: str) -> list[str]:
    return [f"{name} town {number}" for number in range(6)]


@pytest.fixture(scope="module")
def judged(folder: Path) -> Path:
    """The run, with verdicts."""
    work("verify", folder / "run", values_of(folder))
    return folder / "run"


def rows_of(run: Path) -> list[dict[str, Any]]:
    paths = tables.shards(run / "verdicts")
    return [row for path in paths for row in tables.read_rows(path, Verdict)]


def test_what_the_judge_says_becomes_of_the_rows(folder: Path, judged: Path) -> None:
    rows = [row for row in rows_of(judged) if row["rollout_index"] < len(REPLIES) + 1]
    assert len(rows) == NUM_SAMPLES * 5
    wanted = [("correct", 1.0), ("correct", 1.0), ("incorrect", 0.0), ("error", None)]
    for start in range(0, len(rows), 5):
        found = [(row["status"], row["outcome_reward"]) for row in rows[start : start + 4]]
        assert found == wanted
        assert rows[start + 4]["rule_status"] is None, "what the rules accept is not judged"
    assert [row["verifier"] for row in rows[:3]] == ["llm_judge", "llm_judge", "text"]
    assert rows[0]["llm"].startswith(f"{folder / 'judge'} judge:")
    assert rows[0]["llm_text"] == "<think>\n</think>\nVerdict: same"


def test_an_audit_is_a_table_or_json(folder: Path, judged: Path, tmp_path: Path) -> None:
    found = result_of("verify", "--run", judged, "--audit", "3")
    assert found["num_asked"] == NUM_SAMPLES * 10
    assert found["num_disagreements"] >= NUM_SAMPLES * 2
    assert len(found["sample"]) == 3
    assert {one["gold"] for one in found["sample"]} == {GOLD}
    done = sophia("verify", "--run", judged, "--audit", "100", COLUMNS="200")
    assert done.returncode == 0, done.stderr
    for text in ("Amsterdam", "Mokum", "incorrect", "correct", GOLD):
        assert text in done.stdout
    plain = tmp_path / "plain"
    for name in ("samples", "rollouts"):
        shutil.copytree(judged / name, plain / name)
    work("verify", plain, ["verify.num_workers=1"])
    done = sophia("verify", "--run", plain, "--audit", "3")
    assert_refused(done, 5, "no language model was asked", "verify.llm_judge=true")


def test_another_judge_or_prompt_is_refused(folder: Path, judged: Path) -> None:
    for other in ("verify.llm_judge_prompt=same_answer", "verify.llm_judge=false"):
        with pytest.raises(RefusedError, match=other.partition("=")[0]):
            work("verify", judged, values_of(folder, other))
    done = sophia("verify", "--run", judged, "--set", "verify.llm_judge=true")
    assert_refused(done, 2, "models.verifier.path")


def start(run: Path, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [SOPHIA, "verify", "--run", str(run), *settings(folder, "run.lease_seconds=2")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_of_two_workers_one_is_killed_and_it_comes_out_the_same(
    folder: Path, judged: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    for name in ("samples", "rollouts"):
        shutil.copytree(judged / name, run / name)
    worker, other = (start(run, folder) for _ in range(2))
    deadline = time.monotonic() + 120
    while worker.poll() is None and not list((run / "verdicts").rglob("*.parquet")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(random.Random(0).uniform(0, 0.3))
    if worker.poll() is None:
        os.killpg(worker.pid, signal.SIGKILL)
    worker.communicate()
    _, errors = other.communicate(timeout=300)
    assert other.returncode == TOO_MANY_ERRORS, errors  # of the judge, in every run
    for path in tables.shards(judged / "verdicts"):
        assert pq.read_table(run / "verdicts" / path.name).equals(pq.read_table(path))


def test_vllm_judges_the_lessons_alike(folder: Path, judged: Path, tmp_path: Path) -> None:
    for name in ("samples", "rollouts"):
        shutil.copytree(judged / name, tmp_path / name)
    engine = ["models.verifier.engine=vllm", "models.verifier.engine_args.max_num_seqs=16"]
    engine.append("models.verifier.engine_args.kv_cache_memory_bytes=67108864")
    work("verify", tmp_path, values_of(folder, *engine))
    rows, by_transformers = rows_of(tmp_path), rows_of(judged)
    assert len(rows) == len(by_transformers)
    for row, other in zip(rows, by_transformers, strict=True):
        if row["rollout_index"] < len(REPLIES) + 1:
            assert {**row, "llm_text": None} == {**other, "llm_text": None}


def attempts(run: Path) -> list[dict[str, Any]]:
    paths = tables.shards(run / "evals" / "world@base")
    return [row for path in paths for row in tables.read_rows(path, Attempted)]


def test_an_evaluation_is_judged_beside_its_rules(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    asked = ["eval.checkpoint=base", "eval.num_questions=16", "models.policy.batch_size=16"]
    result_of("ingest", "world:train", "--run", run, "--limit", "1")
    work("eval", run, asked, DEMO)
    before = attempts(run)
    wrong = [row for row in before if row["status"] == "incorrect"]
    assert len(wrong) >= 6
    lessons: dict[str, str] = {}
    for number, row in enumerate(wrong):
        prompt = f"{row['question']}\n{row['gold']}|{row['extracted_answer']}"
        said = {0: "Verdict: same", 1: "I can't say."}.get(number, "Verdict: different")
        lessons.setdefault(prompt, f"</think>\n{said}")
    save_judge(tmp_path / "judge", list(lessons.items()))
    asked += [
        *("eval.llm_judge=all", f"models.verifier.path={tmp_path / 'judge'}"),
        *(f"eval.llm_judge_prompt={folder / 'prompt.txt'}", "eval.llm_max_tokens=32"),
    ]
    shards = [path.stat().st_mtime_ns for path in tables.shards(run / "evals" / "world@base")]
    results = work("eval", run, asked, DEMO).figures["world@base"]
    assert shards == [
        path.stat().st_mtime_ns for path in tables.shards(run / "evals" / "world@base")
    ], "what was answered is not asked again for a judge's sake"
    found = results["judged"]
    num_right = sum(row["status"] == "correct" for row in before)
    prompts = [f"{row['question']}\n{row['gold']}|{row['extracted_answer']}" for row in wrong]
    overturned, unjudged = (prompts.count(prompts[number]) for number in (0, 1))
    assert results["pass_at_1"] == pytest.approx(num_right / 16)
    assert found["pass_at_1"] == pytest.approx((num_right + overturned) / (16 - unjudged))
    assert (found["num_asked"], found["num_unjudged"]) == (len(wrong), unjudged)
    assert found["num_changed"] == overturned + unjudged
    assert found["statuses"]["error"] == unjudged
    assert found["llm"] == [str(tmp_path / "judge")]
    written = json.loads((run / "evals" / "world@base" / "results.json").read_text())
    assert written == results
    done = sophia("results", "--run", run, "--paper", COLUMNS="200")
    for text in ("judged", f"asked about {len(wrong)} answers", "base, judged"):
        assert text in done.stdout, done.stdout
    evaluation = run / "evals" / "world@base"
    compared = result_of("eval", "compare", evaluation, evaluation / "judged")
    assert len(compared["gained"]) == overturned and compared["lost"] == []
    assert compared["num_left_out"] == unjudged
    more = work("eval", run, [*asked, "eval.num_samples=2"], DEMO).figures["world@base"]["judged"]
    assert more["num_answers"] == 32 and more["num_asked"] > len(wrong)
