"""What a user gets from `sophia train`."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForImageTextToText, AutoProcessor

from data.errors import ConfigError, InputError, RefusedError
from stages import train
from stages.training.config import Config
from stages.training.flops import Work
from stages.training.tensor_facts import tensor_facts
from tests import tiny_models
from tests.stages.training.runs import make_config, make_job, make_rows, steps_done, write_run


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In bfloat16 and with a tied head, as many models are published."""
    folder = tmp_path_factory.mktemp("policy")
    tiny_models.save_policy(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.bfloat16)
    model.config.tie_word_embeddings = model.config.text_config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(folder)
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 0], "top_p": 0.8}')
    return folder


class Counting:
    """A report that keeps what it is told."""

    def __init__(self) -> None:
        self.total = self.done = self.tokens = 0
        self.notes: list[str] = []

    def start(self, what: str, total: int, done: int, table: str | None = None) -> None:
        self.total, self.done = total, done

    def advance(self, *, rows: int = 0, tokens: int = 0, errors: int = 0) -> None:
        self.done += rows
        self.tokens += tokens

    def watch(self, figures: Callable[[], Mapping[str, float]]) -> None:
        self.figures = figures

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, policy: Path
) -> tuple[Path, Config, Any, Any]:
    rows = make_rows(12)
    rows[5]["reward"] = 0.0
    run_dir = write_run(tmp_path_factory.mktemp("run"), rows)
    config = make_config(
        run_dir,
        zero_stage=2,
        dtype="bfloat16",
        gradient_checkpointing=True,
        num_epochs=4,
        learning_rate=5e-3,
        checkpoint_every=3,
        keep_checkpoints=2,
        peak_tflops=1.0,
    )
    report = Counting()
    outcome = train.run(make_job(run_dir, policy, config, report=report), config)
    return run_dir, config, outcome, report


def test_it_learns_and_says_what_it_did(trained: tuple[Path, Config, Any, Any]) -> None:
    run_dir, _, outcome, report = trained
    steps = steps_done(run_dir)
    assert steps[-1]["loss"] < 0.7 * steps[0]["loss"]
    assert outcome.complete
    assert (outcome.rows, outcome.errors) == (12, 1)
    figures = outcome.figures
    assert figures["steps"] == 11
    assert figures["num_trajectories"] == 11
    assert figures["rejected"] == {"the reward is not positive": 1}
    assert figures["loss"] == steps[-1]["loss"]
    assert figures["export_checked_by"] == "weights, words"
    assert "ratio" not in figures, "nobody knows what the behavior model gave these rows"
    assert figures["tokens"] == sum(step["tokens"] for step in steps) == report.tokens
    assert report.total == report.done == 11
    shown = report.figures()
    assert 0 < shown["mfu_rate"] < 1 and 0 <= shown["data_wait_rate"] < 1
    assert shown["loss"] == steps[-1]["loss"] and shown["images_per_second"] > 0
    assert [note for note in report.notes if note.startswith("MFU = ")] == [report.notes[-1]]
    assert list((run_dir / "logs").glob("train-*-ranks.log"))


def test_tensorboard_shows_each_step(trained: tuple[Path, Config, Any, Any]) -> None:
    events = EventAccumulator(str(trained[0] / "metrics")).Reload()
    steps = steps_done(trained[0])
    for name in ("loss", "learning_rate", "gradient_norm"):
        drawn = events.Scalars(f"train/{name}")
        assert [each.step for each in drawn] == list(range(1, 12))
        assert [each.value for each in drawn] == pytest.approx([step[name] for step in steps])
    rates = [each.value for each in events.Scalars("speed/tokens_per_second")]
    expected = [step["meters"]["tokens_per_second"] for step in steps]
    assert rates == pytest.approx(expected)


def test_what_is_left_behind(trained: tuple[Path, Config, Any, Any]) -> None:
    run_dir, _, outcome, _ = trained
    checkpoints = run_dir / "checkpoints"
    names = {path.name for path in checkpoints.iterdir()}
    plan = {"plan.parquet", "rejected.jsonl"}
    assert names == {".lock", "step-000009", "step-000011", "final", *plan}
    rows = pq.read_table(checkpoints / "plan.parquet").to_pylist()
    assert [row["step"] for row in rows] == [step for step in range(11) for _ in range(4)]
    assert {row["pack"] for row in rows} == {None}, "which go together depends on the ranks"
    tokens = sum(row["prompt_tokens"] + row["response_tokens"] for row in rows)
    assert tokens == outcome.figures["tokens"]
    listed = [json.loads(line) for line in (checkpoints / "rejected.jsonl").open()]
    rejected = {"row": "sample-1-002/0/0", "reason": "the reward is not positive"}
    assert listed == [rejected]
    assert rejected["row"] not in {row["row"] for row in rows}


def test_the_export_is_the_base_model_with_other_weights(
    trained: tuple[Path, Config, Any, Any], policy: Path
) -> None:
    final = trained[0] / "checkpoints" / "final"
    assert tensor_facts(final) == tensor_facts(policy)
    assert "lm_head.weight" not in tensor_facts(final)
    for path in policy.iterdir():
        if path.suffix != ".safetensors":
            assert (final / path.name).read_bytes() == path.read_bytes()
    assert json.loads((final / "sophia.json").read_text())["step"] == 11
    before = AutoModelForImageTextToText.from_pretrained(policy).state_dict()
    after = AutoModelForImageTextToText.from_pretrained(final).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("language_model" in name or name.startswith("lm_head") for name in changed)
    AutoProcessor.from_pretrained(final)


def test_running_it_again_does_nothing(
    trained: tuple[Path, Config, Any, Any], policy: Path
) -> None:
    run_dir, config, outcome, _ = trained
    assert train.run(make_job(run_dir, policy, config), config) == outcome
    assert len(steps_done(run_dir)) == 11


def test_engine_only_settings_do_not_make_it_stale(
    trained: tuple[Path, Config, Any, Any], policy: Path
) -> None:
    run_dir, config, outcome, _ = trained
    changed = config.model_copy(update={"zero_stage": 3, "micro_batch_size": 1})
    assert train.run(make_job(run_dir, policy, changed), changed) == outcome


def test_changed_settings_are_refused(trained: tuple[Path, Config, Any, Any], policy: Path) -> None:
    run_dir, config, _, _ = trained
    changed = config.model_copy(update={"learning_rate": 1e-4})
    with pytest.raises(RefusedError, match=r"learning_rate = 0\.005, now 0\.0001"):
        train.run(make_job(run_dir, policy, changed), changed)


def test_another_chat_template_is_refused(
    trained: tuple[Path, Config, Any, Any], policy: Path, tmp_path: Path
) -> None:
    run_dir, config, outcome, _ = trained
    other = tmp_path / "policy"
    shutil.copytree(policy, other)
    assert train.run(make_job(run_dir, other, config), config) == outcome
    template = other / "chat_template.jinja"
    template.write_text(template.read_text().replace("assistant", "Assistant"))
    with pytest.raises(RefusedError, match="the policy's files are not the same"):
        train.run(make_job(run_dir, other, config), config)


def test_no_trajectories(tmp_path: Path, policy: Path) -> None:
    run_dir = write_run(tmp_path, [])
    config = make_config(run_dir)
    with pytest.raises(InputError, match="no sample kept a rollout"):
        train.run(make_job(run_dir, policy, config), config)


def test_no_table(tmp_path: Path, policy: Path) -> None:
    config = make_config(write_run(tmp_path / "other", []))
    with pytest.raises(InputError, match="sophia ingest"):
        train.run(make_job(tmp_path / "run", policy, config), config)


def test_no_policy(tmp_path: Path) -> None:
    config = make_config(write_run(tmp_path, make_rows(1)))
    with pytest.raises(InputError, match="holds no model"):
        train.run(make_job(tmp_path, tmp_path, config), config)


@pytest.mark.parametrize("content", [b'{"model_type": "intern', b"", b"[]", b"\xff"])
def test_a_torn_configuration(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    config = make_config(write_run(tmp_path, make_rows(1)))
    with pytest.raises(InputError, match=r"config\.json can't be read .*copy the model again"):
        train.run(make_job(tmp_path, tmp_path, config), config)


def test_unknown_family(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    config = make_config(write_run(tmp_path, make_rows(1)))
    with pytest.raises(ConfigError, match="internvl, llava"):
        train.run(make_job(tmp_path, tmp_path, config), config)


@pytest.mark.parametrize(
    "values",
    [
        {"freeze": ["vision"]},
        {"freeze": []},
        {"zero_stage": 1},
        {"batch_size": 0},
        {"final_lr_ratio": 1.5},
        {"zero_stage": 0, "dtype": "bfloat16"},
        {"objective": "dpo"},
        {"learningrate": 1},
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Config(**values)


def test_a_dry_run_tells_what_training_will_do_and_does_none_of_it(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_rows(9)
    rows[5]["reward"] = 0.0
    run_dir = write_run(tmp_path, rows)
    config = make_config(run_dir, pack_length=200, num_ranks=2, zero_stage=2)
    monkeypatch.setattr(train, "launch", lambda *_, **__: pytest.fail("it trains"))
    outcome = train.run(make_job(run_dir, policy, config, dry_run=True), config)
    assert (outcome.complete, outcome.rows, outcome.errors) == (True, 9, 1)
    figures = outcome.figures
    assert json.loads(json.dumps(figures)) == figures
    assert figures["dry_run"]
    assert (figures["steps"], figures["num_rows"]) == (2, 8)
    assert figures["rejected"] == {"the reward is not positive": 1}
    assert 0 < figures["trained_tokens"] < figures["tokens"]
    assert figures["forward_passes"] == 4
    assert figures["pack_fill"] == pytest.approx(figures["tokens"] / 800, abs=1e-3)
    assert figures["longest_pack"] <= 200
    assert figures["seconds_left"] is None
    assert figures["estimated_seconds"] is None and "peak_tflops" in figures["estimated_from"]
    rows = pq.read_table(figures["plan"]).to_pylist()
    packs = {(row["step"], row["pack"]): 0 for row in rows}
    assert list(packs) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for row in rows:
        packs[row["step"], row["pack"]] += row["prompt_tokens"] + row["response_tokens"]
        assert row["image_tokens"] == 4 * row["images"] < row["prompt_tokens"]
    assert max(packs.values()) == figures["longest_pack"]
    assert sum(packs.values()) == figures["tokens"]
    assert all(row["is_trajectory"] for row in rows)
    assert len(Path(figures["rejected_rows"]).read_text().splitlines()) == 1
    before = Path(figures["plan"]).read_bytes()
    changed = config.model_copy(update={"num_ranks": 4, "peak_tflops": 1e-6})
    again = train.run(make_job(run_dir, policy, changed, dry_run=True), changed).figures
    assert Path(again["plan"]).read_bytes() == before
    work = Work.of(AutoModelForImageTextToText.from_pretrained(policy))
    lengths = [row["prompt_tokens"] + row["response_tokens"] for row in rows]
    operations = work.operations(lengths, figures["trained_tokens"])
    assert again["estimated_seconds"] == pytest.approx(operations / (4 * 1e6 * 0.4), abs=0.1)
    assert again["estimated_seconds"] > 100
    assert "4 ranks * 1e-06e12 * an assumed MFU of 0.4" in again["estimated_from"]
    model = AutoModelForImageTextToText.from_pretrained(policy)
    trained = sum(each.numel() for each in model.model.language_model.parameters())
    assert figures["parameters"]["trained"] == trained, "the head is tied"
    assert figures["parameters"]["frozen"] == model.num_parameters() - trained
    assert not (run_dir / "checkpoints" / "final").exists()
    assert not (run_dir / "logs").exists()


def test_a_stop_while_the_inputs_are_read_is_the_usual_one(tmp_path: Path, policy: Path) -> None:
    run_dir = write_run(tmp_path, make_rows(2))
    config = make_config(run_dir)
    job = make_job(run_dir, policy, config, should_stop=lambda: True)
    assert not train.run(job, config).complete
    assert not (run_dir / "checkpoints" / train.WORK).exists(), "no plan was begun"
