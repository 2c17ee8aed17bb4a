"""Answers that are right in part, against cases worked out by hand."""

import json
import time
from pathlib import Path

import pyarrow as pa
import pytest

from data import tables
from data.records import Reward, Rollout, Sample, Trajectory, Verdict
from stages import propagate_reward
from stages.job import Job
from stages.propagate_reward import Config
from stages.verifiers import Attempt, Judgement, judge_by_rule
from stages.verifiers.golds import type_gold
from stages.verifiers.graded import extract_text, grade, graded_kind
from tests.command import sophia
from tests.reports import SilentReport


@pytest.mark.parametrize(
    ("gold", "answer", "reward"),
    [
        ("EXIT ONLY", "EXIT ONLY", 1.0),
        ("EXIT ONLY", "EXIT  ONLY\n", 1.0),
        ("EXIT ONLY", "exit ONLY", 1 / 2),  # what is printed has its case
        ("a b c d", "a x c", 1 / 2),  # b replaced, d left out: 2 of 4
        ("a b c d", "a b c d e", 3 / 4),  # one added
        ("a", "b c d", 0.0),  # 3 errors for one word are no less than nothing
        ("出口在左", "出口在右", 3 / 4),
    ],
)
def test_ocr_is_one_minus_the_word_error_rate(gold: str, answer: str, reward: float) -> None:
    assert grade("ocr", gold, answer) == pytest.approx(reward)


@pytest.mark.parametrize(
    ("gold", "answer", "reward"),
    [
        # 5 of 6 words, 3 of 5 pairs of words, a common subsequence of 5 of 6.
        ("The cat sat on the mat.", "the cat lay on the mat", (5 / 6 + 3 / 5 + 5 / 6) / 3),
        # Precision 1, recall 2/4; pairs 1 of 1 and 1 of 3; subsequence as the words.
        ("a red double bus", "a red", (2 / 3 + 1 / 2 + 2 / 3) / 3),
        # Same words in reverse order: no pair, a subsequence of one word.
        ("one two three", "three two one", (1 + 0 + 1 / 3) / 3),
        ("cat", "cat", 1.0),
        ("cat", "a cat", 2 / 3),  # precision 1/2, recall 1, of words and of the subsequence
        ("红色的车", "红色的车。", 1.0),
        ("bus", "dog", 0.0),
    ],
)
def test_free_text_is_the_mean_of_three_rouges(gold: str, answer: str, reward: float) -> None:
    assert grade("free text", gold, answer) == pytest.approx(reward)


@pytest.mark.parametrize(
    ("answer_type", "kind"),
    [
        *[("ocr", "ocr"), ("OCR", "ocr"), ("free_text", "free text"), ("Free-Text", "free text")],
        *[("free-form", None), ("text", None), ("number", None), (None, None)],
    ],
)
def test_only_types_that_say_so_are_graded(answer_type: str | None, kind: str | None) -> None:
    assert graded_kind(answer_type) == kind


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("<think>Let me see.</think>\nA dog\non a lawn.", "A dog\non a lawn."),
        ("<think>a</think>Sure.\n<answer>A dog: on a lawn.</answer>", "A dog: on a lawn."),
        (r"It says \boxed{\text{NO ENTRY}}.", "NO ENTRY"),
        ("I read it twice.\n\n**Final answer**\n\nNO ENTRY", "NO ENTRY"),
        ("I read it.\nFinal answer: NO ENTRY", "NO ENTRY"),
        ("A red car: parked.\nAnswer: a red car", "a red car"),
        ("<think>it never ends", None),
        ("<think>a</think> ...", None),
    ],
)
def test_the_whole_text_after_the_thinking_is_the_answer(response: str, answer: str | None) -> None:
    assert extract_text(response) == answer


@pytest.mark.parametrize("unit", ["\n", "#", "\n#", "final ", "answer ", "\n* ", " \n✅"])
def test_no_repetition_keeps_the_reader_of_texts_busy(unit: str) -> None:
    started = time.perf_counter()
    extract_text("a" + unit * (200_000 // len(unit)) + "b")
    assert time.perf_counter() - started < 2.0, "it takes a tenth of that on an idle core"


def judged(gold: str, response: str, answer_type: str, **rest: str) -> Judgement:
    found = judge_by_rule(Attempt(gold=gold, text=response, answer_type=answer_type, **rest))  # type: ignore[arg-type]
    assert isinstance(found, Judgement)
    return found


def test_an_answer_is_right_from_one_half_on() -> None:
    half = judged("a b c d", "a x c", "ocr")
    assert (half.status, half.outcome_reward, half.verifier) == ("correct", 0.5, "ocr")
    less = judged("a b c d", "a x y", "ocr")
    assert (less.status, less.outcome_reward) == ("incorrect", 0.25)
    assert judged("a b", "a", "free_text", finish_reason="length").outcome_reward == 0.0
    assert judged("a b", "<think>a", "free_text").status == "no_answer"
    assert judged("...", "a", "free_text").outcome_reward is None


def test_rewards_are_what_the_tables_keep() -> None:
    found = grade("ocr", "a b c d e", "a b c d x")
    assert found == pa.scalar(0.8, pa.float32()).as_py() != 0.8


def test_texts_too_long_to_compare_are_not_judged() -> None:
    many = " ".join(map(str, range(3000)))
    found = judged(many, many, "free_text")
    assert (found.status, found.outcome_reward) == ("timeout", None)
    assert type_gold("x" * 30_000, "", "ocr").problem


def test_check_gives_the_reward_in_between(tmp_path: Path) -> None:
    lines = [
        {"id": "a", "gold": "a b c d", "response": "a x c", "answer_type": "ocr"},
        {"id": "b", "gold": "a b", "response": "a b", "answer_type": "ocr"},
    ]
    (file := tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, lines)))
    done = sophia("check", file)
    assert [json.loads(line)["reward"] for line in done.stdout.splitlines()] == [0.5, 1]


def test_fractions_add_up_to_caption_rewards_and_only_whole_ones_are_chosen(tmp_path: Path) -> None:
    rewards = {0: [1.0, 0.8, 0.7, 1.0], 1: [0.9, 0.9, 0.9, 0.9], 2: [1.0, 0.5, 0.5, 0.5]}
    samples = [Sample(sample_id="s", question="What does it say?", answer="a b")]
    keys = [
        {"sample_id": "s", "caption_index": c, "rollout_index": r}
        for c in rewards
        for r in range(4)
    ]
    rollouts = [
        Rollout(**key, text="t", num_tokens=9 - key["rollout_index"], finish_reason="stop")  # type: ignore[arg-type, operator]
        for key in keys
    ]
    verdicts = [
        Verdict(
            **key,
            status="correct",
            outcome_reward=rewards[key["caption_index"]][key["rollout_index"]],
        )  # type: ignore[arg-type, index]
        for key in keys
    ]
    metadata = tables.Metadata(stage="test", digest="d")
    for name, rows in (("samples", samples), ("rollouts", rollouts), ("verdicts", verdicts)):
        path = tables.shard_path(tmp_path / name, 0, 1)
        tables.write_atomically(path, tables.to_table(rows, type(rows[0])), metadata)
    job = Job(
        stage="propagate-reward",
        run_dir=tmp_path,
        seed=0,
        models={},
        metadata=metadata,
        report=SilentReport(),
    )
    assert propagate_reward.run(job, Config(alpha=0.75)).complete
    (path,) = tables.shards(tmp_path / "rewards")
    found = pa.Table.from_batches(tables.read_batches(path, Reward)).to_pylist()
    of_captions = [row["caption_reward"] for row in found[::4]]
    assert of_captions == pytest.approx([3.5 / 4, 0.9, 2.5 / 4])
    (path,) = tables.shards(tmp_path / "trajectories")
    (chosen,) = tables.read_rows(path, Trajectory)
    assert (chosen["caption_index"], chosen["rollout_index"]) == (0, 3)
    reasons = {row["rollout_index"]: row["reason"] for row in found if row["caption_index"] == 1}
    assert set(reasons.values()) == {"right in part"}
