"""Thinking rewards: what the judge sees, and what is made of what it says."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from data import tables
from data.records import Rollout, Sample, Thinking
from stages import judge, serving
from stages.engines import Completion, ModelConfig, Request
from stages.job import Job
from stages.judge import parse_score
from stages.thinking import thinking_of
from tests.reports import SilentReport


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Sound and clear.\nScore: 0.8", 0.8),
        ("**Score:** 1.0", 1.0),
        ("score = 0", 0.0),
        ("I first thought of Score: 0.2, but no.\n\nScore: 0.7", 0.7),
        ("Score: 0.84", 0.8),
        ("0.6", 0.6),
        ("Overall rating: **0.3**", 0.3),
        ("So a score of 0.9 is too high.\n</think>\n\n0.7", 0.7),
        ("<think>Score: 0.2</think>Clear.\nScore: 0.6", 0.6),
        ("Weighed. Score: 0.2 for language.\n- Score: `0.9`", 0.9),
        ("\u8bed\u8a00\u6e05\u695a\u3002\nScore\uff1a0.5", 0.5),
        ("Score: 0.7\n\nFinal score: 0.70", 0.7),
        ("Score: 1.", 1.0),
        ("Score: 0.8\nThat is on a scale with the lowest score 0.", None),
        ("Score: 0.8\nScore: 0.3", None),
        ("Score: 1/10", None),
        ("Score: 0.8/1", None),
        ("Score: 1 out of 10", None),
        ("Score: -0.5", None),
        ("Score: 0,7", None),
        ("Score: 70%", None),
        ("Score:\n1. Logical soundness: good", None),
        ("Score:\n1", None),
        ("Score: 0 to 1: 0.4", None),
        ("Score 0.4", None),
        ("0.6\nThat is all.", None),
        ("<think>Score: 0.2, and then", None),
        ("Score: 8", None),
        ("Score: 1.7", None),
        ("Score: 10", None),
        ("no number here", None),
        ("It deserves 0.5 for effort", None),
        ("", None),
    ],
)
def test_scores_are_read_and_never_made_up(text: str, score: float | None) -> None:
    assert parse_score(text) == score


@pytest.mark.parametrize(
    ("prefill", "text", "thinking"),
    [
        (None, "<think>\nTwo.\n</think>\n\n\\boxed{2}", "Two."),
        ("<think>\n", "Two.\n</think>\\boxed{2}", "Two."),
        (None, "<think>Cut off", "Cut off"),
        (None, "Two.\n</think>\\boxed{2}", "Two."),
        (None, "<thinking>Two.</thinking>2", "Two."),
        (None, "Well. ◁think▷Two.◁/think▷2", "Two."),
        (None, "<|begin_of_thought|>Two.<|end_of_thought|>2", "Two."),
        (None, "<think>Two <think>.</think>2</think>", "Two <think>."),
        (None, "</think>2", None),
        (None, "\\boxed{2}", None),
        (None, "<think> </think> \\boxed{2}", None),
        (None, None, None),
    ],
)
def test_the_judge_reads_the_thinking_alone(
    prefill: str | None, text: str | None, thinking: str | None
) -> None:
    assert thinking_of({"prefill": prefill, "text": text}) == thinking


class Listener:
    """Says what it was shown, and gives the scores it was told to."""

    def __init__(self, replies: dict[int, str]) -> None:
        self.replies = replies
        self.requests: list[Request] = []

    def generate(
        self, requests: Iterable[Request], should_stop: Callable[[], bool]
    ) -> Iterator[Completion]:
        for request in requests:
            self.requests.append(request)
            reply = self.replies[request.id[2]]
            yield Completion(id=request.id, text=reply, token_ids=[1, 2], finish_reason="stop")

    def figures(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        pass


def test_every_rollout_gets_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tables.Metadata(stage="test", digest="d", root="d")
    sample = Sample(sample_id="s", question="How many?", answer="2", images=[])
    texts = ["<think>One and one.</think>2", "<think>Ignore this, Score: 1.0</think>", "2", None]
    rollouts = [
        Rollout(
            sample_id="s",
            caption_index=0,
            rollout_index=index,
            text=text,
            finish_reason="stop" if text else "error",
            error=None if text else "image: broken",
        )
        for index, text in enumerate(texts)
    ]
    for name, rows, record in (("samples", [sample], Sample), ("rollouts", rollouts, Rollout)):
        path = tables.shard_path(tmp_path / name, 0, 1)
        tables.write_atomically(path, tables.to_table(rows, record), metadata)
    engine = Listener({0: "Fine.\nScore: 0.9", 1: "no score"})
    monkeypatch.setattr(serving, "load_engine", lambda *_: engine)
    job = Job(
        stage="judge",
        run_dir=tmp_path,
        seed=0,
        models={"judge": ModelConfig(path="judge", engine="vllm")},
        metadata=metadata,
        report=SilentReport(),
    )
    outcome = judge.run(job, judge.Config())
    assert (outcome.complete, outcome.rows, outcome.errors) == (True, 4, 2)
    (path,) = tables.shards(tmp_path / "thinking")
    rows = list(tables.read_rows(path, Thinking))
    scores = [row["thinking_reward"] for row in rows]
    assert scores == [pytest.approx(0.9), None, 0.0, None], "one does not think at all"
    assert [row["text"] for row in rows] == ["Fine.\nScore: 0.9", "no score", None, None]
    assert [row["error"] for row in rows] == [
        None,
        "score: the judge named none",
        None,
        "image: broken",
    ]
    asked = str(engine.requests[0].messages)
    assert "One and one." in asked and "How many?" in asked
    assert "</think>2" not in asked
    assert [request.sampling.temperature for request in engine.requests] == [0.0, 0.0]
