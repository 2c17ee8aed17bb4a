"""What a newcomer gets wrong: each time the documented exit code and a sentence that helps."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data import tables
from data.records import Caption, Sample, Trajectory, Verdict
from tests.command import assert_refused, result_of, sophia

MODELS = (
    *("--set", "models.policy.path=world:policy"),
    *("--set", "models.reasoner.path=world:reasoner"),
)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("usage") / "run"
    summary = result_of("ingest", "world:train", "--run", run, "--limit", "3")
    assert (summary["num_samples"], summary["num_shards"]) == (3, 1)
    assert json.loads((run / "config.json").read_text())["digests"].keys() == {"ingest"}
    assert len(list((run / "logs").glob("ingest-*.log"))) == 1
    return run


@pytest.fixture
def run(ingested: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ingested, tmp_path / "run"))


def test_no_run_named() -> None:
    done = sophia("caption", SOPHIA_RUN="")
    assert done.returncode == 2 and "--run" in done.stderr


def test_run_that_does_not_exist(tmp_path: Path) -> None:
    done = sophia("caption", "--run", tmp_path / "nowhere", *MODELS)
    assert_refused(done, 5, "does not exist", "sophia ingest")


def test_no_model_named(run: Path) -> None:
    done = sophia("caption", "--run", run)
    assert_refused(done, 2, "models.policy.path is not set", "--set models.policy.path=")


def test_model_that_does_not_exist(run: Path) -> None:
    done = sophia("caption", "--run", run, "--set", "models.policy.path=no/such/folder")
    assert_refused(done, 5, "no/such/folder")


def test_unknown_key(run: Path) -> None:
    done = sophia("caption", "--run", run, "--set", "caption.num_caption=2")
    assert_refused(done, 2, "Unknown key", "caption.num_captions")


@pytest.mark.parametrize(
    "setting", ["caption.num_captions=0", "caption.top_p=2", "caption.temperature=-1", "run.seed=x"]
)
def test_value_out_of_range(run: Path, setting: str) -> None:
    done = sophia("caption", "--run", run, "--set", setting)
    assert_refused(done, 2, setting.partition("=")[0], "sophia config")


def test_checkpoint_that_is_no_checkpoint(run: Path) -> None:
    done = sophia("eval", "--run", run, *MODELS, "--set", "eval.checkpoint=basis")
    assert_refused(done, 2, "basis", "final", "base")


def test_stages_out_of_order(run: Path) -> None:
    assert_refused(sophia("reason", "--run", run, *MODELS), 5, "captions", "sophia caption")
    assert_refused(sophia("verify", "--run", run), 5, "rollouts", "sophia reason")
    assert_refused(sophia("propagate-reward", "--run", run), 5, "rollouts", "sophia reason")
    assert_refused(sophia("train", "--run", run, *MODELS), 5, "trajectories", "propagate-reward")
    assert_refused(sophia("eval", "--run", run, *MODELS), 5, "final", "eval.checkpoint=base")


def test_changed_setting_on_an_existing_run(run: Path) -> None:
    short = ("--set", "caption.num_captions=1", "--set", "caption.prompt=world:prompts/caption.txt")
    short += ("--set", "caption.max_tokens=4")
    assert result_of("caption", "--run", run, *MODELS, *short)["caption"]["rows"] == 3
    done = sophia("caption", "--run", run, *MODELS, *short, "--set", "caption.temperature=0.5")
    assert_refused(done, 3, "caption.temperature = 1.0, now 0.5", "another --run")
    engine_only = ("--set", "models.policy.batch_size=2")
    assert sophia("caption", "--run", run, *MODELS, *short, *engine_only).returncode == 0


def test_unreadable_images_are_rows_with_errors(tmp_path: Path) -> None:
    source = tmp_path / "questions.jsonl"
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    rows = [
        {"question": "How many?", "answer": "3", "image": "broken.png"},
        {"question": "How many?", "answer": "4", "image": "missing.png"},
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = tmp_path / "run"
    done = sophia("ingest", source, "--run", run, "--json")
    assert done.returncode == 4, done.stderr
    assert sum(json.loads(done.stdout)["num_errors"].values()) == 2
    assert sophia("ingest", source, "--run", run, "--set", "run.max_error_rate=1").returncode == 0
    done = sophia("caption", "--run", run, *MODELS, "--set", "caption.num_captions=2", "--json")
    assert done.returncode == 4, done.stderr
    assert json.loads(done.stdout)["caption"] | {"figures": None} == {
        "rows": 4,
        "errors": 4,
        "complete": True,
        "figures": None,
    }


def test_a_question_without_an_image_is_no_error(tmp_path: Path) -> None:
    source = tmp_path / "questions.jsonl"
    source.write_text('{"question": "How much is 1 + 2?", "answer": "3"}\n')
    run = tmp_path / "run"
    result_of("ingest", source, "--run", run)
    assert result_of("caption", "--run", run, *MODELS)["caption"]["errors"] == 0
    (row, *_) = tables.read_rows(tables.shard_path(run / "captions", 0, 1), Caption)
    assert (row["text"], row["num_tokens"]) == ("There is no image.", 0)


def test_no_trajectories_selected(run: Path) -> None:
    empty = tables.to_table([], Trajectory)
    metadata = tables.Metadata(stage="propagate-reward", digest="none")
    tables.write_atomically(tables.shard_path(run / "trajectories", 0, 1), empty, metadata)
    done = sophia("train", "--run", run, *MODELS)
    assert_refused(done, 5, "traject", "alpha")


def write_rollouts(run: Path, sample_id: str, *, with_verdicts: bool) -> None:
    """As another tool would: four right rollouts of one caption, and a failed one of another."""
    rows = [
        {"sample_id": sample_id, "caption_index": int(n == 4), "rollout_index": n % 4}
        | {"text": "<think>\n1\n</think>\n1", "num_tokens": 7 + n, "finish_reason": finish}
        | {"status": status, "outcome_reward": reward}
        for n, (finish, status, reward) in enumerate(
            [("stop", "correct", 1.0)] * 4 + [("error", "error", None)]
        )
    ]
    for name in ("rollouts", "verdicts")[: 1 + with_verdicts]:
        (run / name).mkdir(parents=True)
        table = pa.Table.from_pylist(rows, schema=None)
        pq.write_table(table, tables.shard_path(run / name, 0, 1))


def test_rewards_of_tables_that_other_tools_wrote(tmp_path: Path) -> None:
    write_rollouts(tmp_path / "run", "a", with_verdicts=True)
    result = result_of("propagate-reward", "--run", tmp_path / "run")
    assert result["propagate-reward"]["figures"]["funnel"]["trajectories"] == 1
    written = tables.read_metadata(tables.shard_path(tmp_path / "run" / "trajectories", 0, 1))
    assert written is not None
    assert (written.num_rows, written.num_tokens) == (1, 7)


def test_rewards_are_there_though_too_many_rows_failed(run: Path) -> None:
    samples = tables.read_rows(tables.shard_path(run / "samples", 0, 1), Sample)
    write_rollouts(run, next(samples)["sample_id"], with_verdicts=False)
    done = sophia("reward", "--run", run)
    assert done.returncode == 4, done.stderr
    assert "1 of 5 rows failed" in done.stderr
    assert len(tables.shards(run / "rewards")) == 1


def test_ingest_counts_the_answers_that_cannot_be_verified(tmp_path: Path) -> None:
    source = tmp_path / "questions.jsonl"
    golds = ["12", "  ", "['3', '4']", "\u0001\u0002", "\\frac{1}{2}"]
    rows = [{"question": f"What is number {n}?", "answer": gold} for n, gold in enumerate(golds)]
    rows.append({"question": "Which is it?\n(A) 3\n(B) 3\n(C) 5", "answer": "A"})
    rows.append({"question": "How much is it?", "answer": "185\\"})
    rows.append({"question": "Which compound is it?", "answer": "['$MgS$', 'MgS']"})
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = result_of("ingest", source, "--run", tmp_path / "run")
    counted = summary["num_unverifiable"]
    assert sum(counted.values()) == 3
    assert {reason.split(":")[0] for reason in counted} == {
        "a list of texts",
        "it holds characters that no reader can make sense of",
        "several options are the same",
    }
    assert summary["num_without_answer"] == 1
    samples = tables.read_rows(tables.shard_path(tmp_path / "run" / "samples", 0, 1), Sample)
    ids = {row["answer"]: row["sample_id"] for row in samples}
    assert summary["golds"]["not_right"] == {
        "judged no_answer by the rule `extract`": {"num_samples": 1, "examples": [ids["185\\"]]}
    }
    found = summary["golds"]["unverifiable"].values()
    named = [one for reason in found for one in reason["examples"]]
    assert sorted(named) == sorted(ids[gold] for gold in ("['3', '4']", "\u0001\u0002", "A"))
    shown = sophia("ingest", source, "--run", tmp_path / "run", COLUMNS="300")
    (line,) = (line for line in shown.stdout.splitlines() if "boxed{} of their own" in line)
    assert line.endswith(f"judged no_answer by the rule `extract` ({ids['185' + chr(92)]})")
    log = "".join(path.read_text() for path in (tmp_path / "run" / "logs").glob("ingest*"))
    assert ids["185\\"] in log


def test_ingest_of_nothing_that_exists(tmp_path: Path) -> None:
    done = sophia("ingest", tmp_path / "none.jsonl", "--run", tmp_path / "run")
    assert_refused(done, 5, "none.jsonl")


def test_ingest_with_a_wrong_map(tmp_path: Path) -> None:
    source = tmp_path / "questions.jsonl"
    source.write_text('{"problem": "How many?", "gold": "3"}\n')
    wrong = sophia("ingest", source, "--run", tmp_path / "run", "--map", "question=problm")
    assert_refused(wrong, 5, "problm", "problem")
    assert_refused(
        sophia("ingest", source, "--run", tmp_path / "run", "--map", "question"), 2, "--map"
    )


def test_table_that_is_no_parquet(run: Path) -> None:
    path = tables.shard_path(run / "captions", 0, 1)
    path.parent.mkdir()
    path.write_bytes(b"not parquet")
    assert_refused(sophia("reason", "--run", run, *MODELS), 5, str(path), "Parquet")


def test_status_works_at_any_time(run: Path) -> None:
    status = result_of("status", "--run", run)
    assert status["tables"]["samples"]["rows"] == 3
    assert status["tables"]["captions"]["rows"] == 0
    verdict = Verdict(sample_id="a", caption_index=0, rollout_index=0, status="correct")
    part = run / "verdicts" / ".parts" / "00000" / "x.parquet"
    table = tables.to_table([verdict], Verdict)
    tables.write_atomically(part, table, tables.Metadata(stage="verify", digest="d"))
    assert result_of("status", "--run", run)["tables"]["verdicts"]["rows_under_way"] == 1


def test_check_prints_a_line_for_each(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    lines = [
        {"id": "right", "gold": "1/2", "response": r"so \boxed{0.5}"},
        {"id": "wrong", "gold": "3", "response": r"so \boxed{4}"},
        {"id": "none", "gold": "3", "response": "no idea"},
        {"id": "no gold", "gold": None, "response": r"\boxed{4}"},
        {"id": "no response", "gold": "None", "response": None},
        {"id": "half a sign", "gold": "3", "response": "\\boxed{\ud83d 4}"},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = sophia("check", file)
    assert done.returncode == 0, done.stderr
    assert "Timeout" not in done.stderr, "math-verify's warnings are of no use to anyone"
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"id": "right", "reward": 1, "status": "correct", "extracted_answer": "0.5"},
        {"id": "wrong", "reward": 0, "status": "incorrect", "extracted_answer": "4"},
        {"id": "none", "reward": 0, "status": "no_answer", "extracted_answer": None},
        {"id": "no gold", "reward": None, "status": "unverifiable", "extracted_answer": None},
        {"id": "no response", "reward": 0, "status": "no_answer", "extracted_answer": None},
        {"id": "half a sign", "reward": 0, "status": "incorrect", "extracted_answer": "\ud83d 4"},
    ]
    for name in ("half a sign", "no response"):
        assert json.loads(sophia("check", file, "--explain", name).stdout)["id"] == name
    explained = json.loads(sophia("check", file, "--explain", "right").stdout)
    assert (explained["rule"], explained["gold_kind"]) == ("formula", "formula")
    assert_refused(sophia("check", file, "--explain", "nobody"), 5, "nobody")
    file.write_text('{"id": 1}\n')
    assert_refused(sophia("check", file), 5, "Line 1", "response")
