"""What a judge of one's own is trained on, from judgements that are written here."""

from pathlib import Path
from typing import Any

from data import tables
from data.records import Rollout, Sample, Thinking, Trajectory
from stages.judge_data import JudgeData, make_judge_data
from tests.data.pictures import png
from tests.reports import SilentReport

PROMPT = "{{question}}\n{{thinking}}"
JUDGEMENTS = (
    ("Score: 0.2", 0.2),
    ("Score: 0.2", 0.2),
    ("It counts well.</think>\nScore: 0.9", 0.9),
    (" Score: 1.0\n", 1.0),
    ("So it is", None),
)


def write(folder: Path, rows: list[Any]) -> None:
    path = tables.shard_path(folder, 0, 1)
    metadata = tables.Metadata(stage="test", digest="d")
    tables.write_atomically(path, tables.to_table(rows, type(rows[0])), metadata)


def make(folder: Path, **changed: Any) -> tuple[JudgeData, list[Any], list[Any]]:
    """Data of four judgements that name a score and one that doesn't: samples, trajectories."""
    images = [{"bytes": png(1), "path": None}]
    write(folder / "samples", [Sample(sample_id="s", images=images, question="How many?")])
    rollouts, thinking = [], []
    for number, (text, score) in enumerate(JUDGEMENTS):
        key = {"sample_id": "s", "caption_index": 0, "rollout_index": number}
        said = f"<think>I count {number}.</think>\\boxed{{{number}}}"
        rollouts.append(Rollout(**key, text=said, finish_reason="stop"))
        judgement = {"text": text, "num_tokens": 7, "finish_reason": "stop"}
        thinking.append(Thinking(**key, thinking_reward=score, **judgement))
    write(folder / "rollouts", rollouts)
    write(folder / "thinking", thinking)
    asked = {"prompt": PROMPT, "with_images": True, "per_bin": 1, "seed": 0} | changed
    found = make_judge_data(
        folder, folder / "own", report=SilentReport(), should_stop=lambda: False, **asked
    )
    samples, trajectories = (
        list(tables.read_rows(tables.shard_path(folder / "own" / name, 0, 1), record))
        for name, record in (("samples", Sample), ("trajectories", Trajectory))
    )
    return found, samples, trajectories


def test_each_score_is_there_as_often(tmp_path: Path) -> None:
    found, samples, _ = make(tmp_path)
    assert found.there == [0, 0, 2, 0, 0, 0, 0, 0, 0, 2]
    assert found.taken == [0, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    assert len(samples) == 2


def test_the_new_judge_is_asked_what_a_judge_is(tmp_path: Path) -> None:
    _, samples, trajectories = make(tmp_path, per_bin=9)
    assert [row["sample_id"] for row in samples] == [f"s/0/{number}" for number in range(4)]
    assert samples[3]["question"] == "How many?\nI count 3."
    assert [image["bytes"] for image in samples[0]["images"]] == [png(1)]
    assert [row["sample_id"] for row in trajectories] == [row["sample_id"] for row in samples]
    _, samples, _ = make(tmp_path / "blind", with_images=False)
    assert all(row["images"] == [] for row in samples)


def test_what_a_judge_thinks_to_itself_is_no_response_and_has_no_length(tmp_path: Path) -> None:
    _, _, trajectories = make(tmp_path, per_bin=9)
    assert [(row["response"], row["num_tokens"]) for row in trajectories] == [
        ("Score: 0.2", 7),
        ("Score: 0.2", 7),
        ("Score: 0.9", None),
        ("Score: 1.0", None),
    ]
