"""The paper's benchmarks through `sophia eval` with a real engine, and what comes after."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pandas
import pyarrow.parquet as pq
import pytest

from data import tables
from data.records import Attempted
from sophia_cli.run_dir import RunDir
from sophia_cli.status import read_status, stage_rates
from stages.benchmarks import PAPER
from tests.command import assert_refused, result_of, sophia
from tests.stages.benchmarks import layouts
from tests.stages.benchmarks.test_published import NUM_QUESTIONS
from tests.tiny_models import save_policy

CONTEXT_LENGTH = 4096


def settings(folder: Path) -> list[str]:
    values = [
        f"models.policy.path={folder / 'policy'}",
        "models.policy.batch_size=64",
        f"eval.root={folder / 'benchmarks'}",
        "eval.checkpoint=base",
        "eval.max_tokens=4",
        "eval.system_prompt=world:prompts/system.txt",
    ]
    return [argument for value in values for argument in ("--set", value)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, an untrained policy, and a local copy of every benchmark."""
    folder = tmp_path_factory.mktemp("benchmarks")
    save_policy(folder / "policy", CONTEXT_LENGTH)
    layouts.write_all(folder / "benchmarks")
    result_of("ingest", "world:train", "--run", folder / "run", "--limit", "1")
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, Any]:
    run = folder / "run"
    more = ["--set", "eval.benchmarks=paper", "--set", "eval.num_samples=2"]
    figures: dict[str, Any] = result_of("eval", "--run", run, *settings(folder), *more)["eval"]
    return figures["figures"]  # type: ignore[no-any-return]


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for path in tables.shards(folder) for row in tables.read_rows(path, Attempted)]


@pytest.mark.parametrize("name", PAPER)
def test_every_benchmark_is_asked_and_scored(
    folder: Path, results: dict[str, Any], name: str
) -> None:
    found = results[f"{name}@base"]
    asked = rows(folder / "run" / "evals" / f"{name}@base")
    assert found["num_answers"] == len(asked) == 2 * NUM_QUESTIONS[name]
    assert [row["error"] for row in asked if row["error"]] == []
    assert all(row["question"] and row["gold"] for row in asked)
    assert found["sub_scores"]
    assert set(found["pass_at_k"]) <= {"2"}
    written = json.loads((folder / "run" / "evals" / f"{name}@base" / "results.json").read_text())
    assert written == found
    assert len(found["provenance"]["scorers"]) == 1
    assert (found["provenance"]["top_p"], found["provenance"]["num_samples"]) == (0.8, 2)


def test_variants_are_a_cluster_and_have_a_worst_case(results: dict[str, Any]) -> None:
    assert results["dynamath@base"]["worst_case"]["num_questions"] == 2


def test_results_are_printed_beside_the_papers(folder: Path, results: dict[str, Any]) -> None:
    done = sophia("results", "--run", folder / "run", "--paper", COLUMNS="300")
    assert done.returncode == 0, done.stderr
    for text in ("mathvista@base", "worst case", "subject: Math", "55.51", "InternVL3.0-38B"):
        assert text in done.stdout, done.stdout


def test_an_evaluation_compared_with_itself(folder: Path, results: dict[str, Any]) -> None:
    evaluation = folder / "run" / "evals" / "mmmu@base"
    found = result_of("eval", "compare", evaluation, evaluation / "results.json")
    assert (found["difference"], found["p_value"]) == (0.0, 1.0)
    assert found["num_questions"] == NUM_QUESTIONS["mmmu"]
    assert found["differing_terms"] == {}
    other = folder / "run" / "evals" / "mathvista@base"
    assert_refused(sophia("eval", "compare", evaluation, other), 5, "share no question")
    assert_refused(sophia("eval", "compare", evaluation, folder), 5, "holds no evaluation")


def test_predictions_are_a_table_for_other_scorers(
    folder: Path, results: dict[str, Any], tmp_path: Path
) -> None:
    evaluation, file = folder / "run" / "evals" / "mathvision@base", tmp_path / "predictions.tsv"
    done = sophia("eval", "export", evaluation, file, "--sample", "1")
    assert done.returncode == 0, done.stderr
    with file.open(encoding="utf-8", newline="") as lines:
        found = list(csv.DictReader(lines, delimiter="\t"))
    assert [row["id"] for row in found] == list("123456")
    assert [found[0][name] for name in ("index", "A", "E", "answer")] == ["0", "2", "6", "B"]
    answers = {row["sample_id"]: row for row in rows(evaluation) if row["rollout_index"] == 1}
    assert [row["prediction"] for row in found] == [answers[row["id"]]["text"] for row in found]
    assert {row["level"] for row in found} == {"3"}
    done = sophia("eval", "export", evaluation, file, "--sample", "2")
    assert_refused(done, 5, "no answer number 2")


def test_predictions_say_what_the_template_wrote_and_grades_as_they_are() -> None:
    from sophia_cli.predictions import _exported

    row = dict.fromkeys(("labels", "choices", "question", "gold", "finish_reason"))
    row |= {"sample_id": "a", "text": "Hm.</think>4", "prefill": "<think>\n", "outcome_reward": 0.8}
    found = _exported(row)
    assert (found["prediction"], found["hit"]) == ("<think>\nHm.</think>4", "0.8")


def printable(text: str) -> str:
    """Without spaces, and the control characters that an untrained policy writes."""
    return "".join(letter for letter in text if letter.isprintable() and letter != " ")


def test_a_comparison_says_what_else_was_different(
    folder: Path, results: dict[str, Any], tmp_path: Path
) -> None:
    evaluation, other = folder / "run" / "evals" / "mathvista@base", tmp_path / "other"
    shutil.copytree(evaluation, other)
    changed = json.loads((other / "results.json").read_text())
    changed["provenance"]["max_tokens"] = 16384
    (other / "results.json").write_text(json.dumps(changed))
    done = sophia("eval", "compare", evaluation, other)
    assert "They differ in max tokens, too: 4, 16384" in done.stdout
    assert "seed" not in done.stdout


MINI = [
    # As VLMEvalKit's MathVista_MINI.tsv has it: an index of its own, and an order.
    {"index": 7, "pid": 3, "question": "Hint: ...", "answer": "1.2", "answer_type": "float"},
    {"index": 9, "pid": 1, "question": "Hint: ...", "answer": "red", "answer_type": "text"},
    {"index": 12, "pid": 4, "question": "Hint: ...", "answer": "[1, 2.5]", "answer_type": "list"},
    {"index": 15, "pid": 2, "question": "Hint: ...", "answer": "12", "answer_type": "integer"},
    {"index": 16, "pid": 5, "question": "Not asked", "answer": "12", "answer_type": "integer"},
]


@pytest.mark.parametrize("suffix", [".tsv", ".xlsx"])
def test_predictions_in_the_table_of_vlmevalkit(
    folder: Path, results: dict[str, Any], tmp_path: Path, suffix: str
) -> None:
    table, file = tmp_path / "MathVista_MINI.tsv", tmp_path / f"tiny_MathVista_MINI{suffix}"
    theirs = pandas.DataFrame(MINI).assign(image="aGVsbG8=", choices="[]")
    theirs.to_csv(table, sep="\t", index=False, quoting=csv.QUOTE_ALL)
    evaluation = folder / "run" / "evals" / "mathvista@base"
    done = sophia("eval", "export", evaluation, file, "--table", table)
    assert done.returncode == 0, done.stderr
    # What VLMEvalKit reads it with.
    found = pandas.read_csv(file, sep="\t") if suffix == ".tsv" else pandas.read_excel(file)
    assert list(found.columns) == [n for n in theirs.columns if n != "image"] + ["prediction"]
    assert list(found["index"]) == [7, 9, 12, 15], "those that were asked, in its own order"
    texts = {row["sample_id"]: row["text"] for row in rows(evaluation) if not row["rollout_index"]}
    said = [printable(text) for text in found["prediction"].fillna("")]
    assert said == [printable(texts[name]) for name in "3142"]


def test_questions_of_a_table_without_names_are_found_by_their_text(
    folder: Path, results: dict[str, Any], tmp_path: Path
) -> None:
    table, file = tmp_path / "DynaMath.tsv", tmp_path / "tiny_DynaMath.tsv"
    theirs = [
        {
            "index": 100 * variant,
            "question": f"What is the {kind} of figure {variant}?",
            "answer": gold,
        }
        for variant in range(10, 0, -1)
        for kind, gold in (("float", f"{variant}.700000000000001"), ("text", "odd"))
    ]
    pandas.DataFrame([*theirs, {"index": 7, "question": "Not asked"}]).to_csv(
        table, sep="\t", index=False
    )
    evaluation = folder / "run" / "evals" / "dynamath@base"
    done = sophia("eval", "export", evaluation, file, "--table", table)
    assert done.returncode == 0, done.stderr
    assert list(pandas.read_csv(file, sep="\t")["index"]) == [row["index"] for row in theirs]


def test_a_table_of_another_benchmark_is_refused(
    folder: Path, results: dict[str, Any], tmp_path: Path
) -> None:
    table = tmp_path / "other.tsv"
    others = [{**row, "answer": "another"} for row in MINI]
    pandas.DataFrame(others).to_csv(table, sep="\t", index=False)
    evaluation = folder / "run" / "evals" / "mathvista@base"
    done = sophia("eval", "export", evaluation, tmp_path / "out.tsv", "--table", table)
    assert_refused(done, 5, "does not hold the questions", "MathVista_MINI.tsv")
    done = sophia("eval", "export", evaluation, tmp_path / "out.parquet")
    assert_refused(done, 2, "neither .tsv nor .xlsx")


def test_two_workers_share_a_benchmark(folder: Path, tmp_path: Path) -> None:
    arguments = [*settings(folder), "--set", "eval.benchmarks=world", "--set", "eval.max_tokens=2"]
    arguments += ["--set", "eval.num_questions=140", "--set", "run.commit_seconds=0.1"]
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    for run in (alone, shared):
        result_of("ingest", "world:train", "--run", run, "--limit", "1")
    result_of("eval", "--run", alone, *arguments)
    result_of("eval", "--run", shared, *arguments, "--num-workers", "2")
    evaluations = [run / "evals" / "world@base" for run in (alone, shared)]
    assert len(tables.shards(evaluations[0])) == 2
    for path in tables.shards(evaluations[0]):
        other = pq.read_table(evaluations[1] / path.name)
        assert other.replace_schema_metadata(None).equals(
            pq.read_table(path).replace_schema_metadata(None)
        )
    assert json.loads((evaluations[0] / "results.json").read_text()) == json.loads(
        (evaluations[1] / "results.json").read_text()
    )

    tables.shards(evaluations[1])[0].unlink()
    status = read_status(RunDir(shared))["evaluating"]["world@base"]
    assert (status["finished_shards"], status["num_shards"], status["rows"]) == (1, 2, 12)
    assert "evals/world@base: 12 answers, not complete" in sophia("status", "--run", shared).stdout


def test_an_evaluation_has_an_eta() -> None:
    pulses = [
        {"stage": "eval", "is_alive": True, "total": 140, "rows_per_second": speed}
        | {"tokens_per_second": 10.0, "table": "evals/world"}
        for speed in (1.5, 0.5)
    ]
    under_way = {"rows": 12, "rows_under_way": 8}
    assert stage_rates(pulses, {"evals/world": under_way})["eval"]["eta_seconds"] == 60
    assert stage_rates(pulses, {"evals/other": under_way}) == {}, "it has not begun"


def test_an_unknown_benchmark_names_the_nearest(folder: Path) -> None:
    done = sophia(
        "eval", "--run", folder / "run", *settings(folder), "--set", "eval.benchmarks=mathvison"
    )
    assert_refused(done, 5, "mathvison", "mathvision")
    done = sophia("eval", "fetch", "mmu", "--root", folder / "none")
    assert_refused(done, 2, "mmu", "mmmu")
