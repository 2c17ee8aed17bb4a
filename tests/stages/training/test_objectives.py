"""Groups and importance weights: a step's gradient is that of a plain loop, however it is split."""

import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor

from data.errors import EngineError, InputError
from data.images import open_image
from stages import train
from stages.seeds import seed_for
from stages.training.config import Config
from stages.training.lora import add_adapters
from stages.training.objective import Objective
from stages.training.plan import Plan, Row
from stages.training.planning import unusable
from stages.training.render import Example
from stages.training.scores import SCHEMA, SCORES
from stages.training.task import Task
from stages.trust import Group, annealed_advantages
from tests.stages.training.group_runs import write_group_run
from tests.stages.training.runs import SEED, make_config, make_job, make_rows, write_run
from tests.stages.training.standing import Standing

SPLITS = (
    {"micro_batch_size": 1},
    {"micro_batch_size": 3},
    {"pack_length": 200, "gradient_checkpointing": True},
)
CLIP, KL_WEIGHT, STEP = 0.1, 0.5, 1
ROW: dict[str, Any] = {
    **{"prompt_ids": np.zeros(1, np.int32), "reward": 1.0, "images": (), "is_own": False},
    **{"behavior_logprob": None, "advantage": None, "group": None, "place": 0},
}
RowLoss = Callable[[int, Row, Tensor], Tensor]
"""Number of a row, the row, and log pi_theta of its response tokens -> its part of the loss."""


def make_task(
    run_dir: Path, policy: Path, config: Config, monkeypatch: pytest.MonkeyPatch, step: int = 0
) -> Path:
    """Plan a run without training it, to begin at a step."""
    with monkeypatch.context() as patch:
        patch.setattr(train, "launch", lambda *_, **__: None)
        assert not train.run(make_job(run_dir, policy, config), config).complete
    work = run_dir / "checkpoints" / train.WORK
    task = Task.load(work / "task.json")
    replace(task, manifest=replace(task.manifest, step=step)).dump(work / "task.json")
    return work


def write_scores(plan: Plan, logprobs: dict[int, list[float]]) -> None:
    """Scores that say what a test wants the policy before training to have said."""
    with pa.ipc.new_file(plan.folder / SCORES, SCHEMA) as writer:
        writer.write(pa.record_batch([list(logprobs), list(logprobs.values())], schema=SCHEMA))


def plain_logprobs(
    policy: Path, plan: Plan, config: Config | None = None
) -> tuple[Any, dict[int, Tensor]]:
    """The whole model, and what it gives each row's response tokens, one unpadded row at a time."""
    model = AutoModelForImageTextToText.from_pretrained(policy, dtype=torch.float32)
    if config is not None and config.lora_rank:
        add_adapters(model.requires_grad_(False), config, seed_for(SEED, "train", "lora"))
    processor = AutoProcessor.from_pretrained(policy)
    found = {}
    for number in range(plan.num_rows):
        row = plan.row(number)
        ids = torch.from_numpy(np.concatenate([row.prompt_ids, row.response_ids]).astype(np.int64))
        pixels: dict[str, Any] = {}
        if row.images:
            images = [open_image(plan.image(image)) for image in row.images]
            pixels = {
                "pixel_values": processor.image_processor(images, return_tensors="pt")[
                    "pixel_values"
                ]
            }
        logits = model(input_ids=ids[None], **pixels).logits[0].float()
        of_tokens = logits.log_softmax(-1)[:-1].gather(-1, ids[1:, None])[:, 0]
        found[number] = of_tokens[len(row.prompt_ids) - 1 :]
    return model, found


def reference(
    model: Any, plan: Plan, logprobs: dict[int, Tensor], row_loss: RowLoss, step: int
) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients by a plain loop."""
    rows = plan.steps[step]
    total = torch.stack([row_loss(row, plan.row(row), logprobs[row]) for row in rows]).sum()
    total.backward()
    named = model.named_parameters()
    trained = {name.removeprefix("model."): parameter.grad for name, parameter in named}
    return total.item(), {
        name: gradient
        for name, gradient in trained.items()
        if gradient is not None and not name.startswith(("vision", "multi"))
    }


def run_splits(ranks: Standing, folder: Path, work: Path, num_ranks: int) -> list[Any]:
    program = "tests.stages.training.gradients"
    ranks.run(num_ranks, program, work / "task.json", folder, list(map(json.dumps, SPLITS)))
    return [torch.load(folder / f"{number}.pt") for number in range(len(SPLITS))]


def assert_same(found: list[Any], loss: float, expected: dict[str, Tensor]) -> None:
    norm = torch.stack([gradient.norm() for gradient in expected.values()]).norm().item()
    assert norm > 1e-3
    for last_step, gradients in found:
        assert last_step["loss"] == pytest.approx(loss, rel=1e-5, abs=1e-6)
        assert last_step["gradient_norm"] == pytest.approx(norm, rel=1e-5)
        assert gradients.keys() == expected.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(
                gradient.reshape(expected[name].shape),
                expected[name],
                atol=1e-6 * max(norm, 1),
                rtol=1e-5,
            )


def group_loss(
    plan: Plan, config: Config, before: dict[int, Tensor], number: int, row: Row, logprob_T: Tensor
) -> Tensor:
    """GRPO's loss of a row, token by token, as the papers write it."""
    if config.objective == "grpo":
        advantage = row.advantage
    else:
        assert row.group is not None
        advantage = annealed_advantages(
            row.group, step=STEP, num_steps=len(plan.steps), weight=config.thinking_weight
        )[row.place]
    assert advantage is not None
    parts = []
    for now, then in zip(logprob_T, before[number], strict=True):
        ratio = torch.exp(now - then)
        clipped = min(max(ratio.item(), 1 - CLIP), 1 + CLIP)
        is_clipped = clipped * advantage < ratio.item() * advantage
        gain = torch.tensor(clipped * advantage) if is_clipped else ratio * advantage
        reference_ratio = torch.exp(then - now)
        parts.append(-gain + KL_WEIGHT * (reference_ratio - torch.log(reference_ratio) - 1))
    rows = plan.steps[STEP]
    if config.normalize == "trajectory-mean":
        return torch.stack(parts).sum() / len(parts) / len(rows)
    return torch.stack(parts).sum() / plan.num_targets(STEP)


@pytest.mark.parametrize(
    ("objective", "normalize", "zero_stage", "num_ranks", "lora_rank"),
    [
        ("grpo", "trajectory-mean", 0, 1, 0),
        ("trust-grpo", "token", 2, 2, 0),
        ("grpo", "token", 3, 2, 4),
    ],
)
def test_groups(
    objective: str,
    normalize: str,
    zero_stage: int,
    num_ranks: int,
    lora_rank: int,
    tmp_path: Path,
    policy: Path,
    ranks: Standing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_dir = write_group_run(tmp_path / "run", 4, 3)
    config = make_config(
        run_dir,
        objective=objective,
        normalize=normalize,
        zero_stage=zero_stage,
        num_ranks=num_ranks,
        lora_rank=lora_rank,
        batch_size=6,
        clip=CLIP,
        kl_weight=KL_WEIGHT,
        gradient_clipping=0,
    )
    work = make_task(run_dir, policy, config, monkeypatch, STEP)
    plan = Plan.open(work / "plan")
    assert [len(step) for step in plan.steps] == [6, 6]
    model, logprobs = plain_logprobs(policy, plan, config)
    # As if training had moved the policy: some ratios are within the clip, some beyond.
    draw = random.Random(0)
    before = {
        row: [logprob + draw.gauss(0, 0.15) for logprob in own.tolist()]
        for row, own in logprobs.items()
    }
    write_scores(plan, before)
    scored = {row: torch.tensor(values, dtype=torch.float32) for row, values in before.items()}
    row_loss = partial(group_loss, plan, config, scored)
    found = run_splits(ranks, tmp_path, work, num_ranks)
    assert_same(found, *reference(model, plan, logprobs, row_loss, STEP))
    figures = found[0][0]
    assert 0.1 < figures["clip_fraction"] < 0.6
    assert figures["kl"] > 0
    assert figures["largest_ratio_deviation"] > CLIP


def test_truncated_importance_weights(
    tmp_path: Path, policy: Path, ranks: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_rows(5)
    run_dir = write_run(tmp_path / "run", rows)
    config = make_config(run_dir, batch_size=5)
    plan = Plan.open(make_task(run_dir, policy, config, monkeypatch) / "plan")
    _, logprobs = plain_logprobs(policy, plan)
    # Beside mu a response is up to e^1.5 times as likely, or as unlikely.
    sums = {plan.row(n).response_ids.tobytes(): own.sum().item() for n, own in logprobs.items()}
    for number, row in enumerate(rows):
        (own,) = (total for ids, total in sums.items() if _says(ids, policy, row["response"]))
        row["behavior_logprob"] = own - (number - 2) * 0.7
    run_dir = write_run(tmp_path / "weighted", rows)
    config = make_config(
        run_dir, batch_size=5, importance="truncated", importance_cap=1.5, gradient_clipping=0
    )
    work = make_task(run_dir, policy, config, monkeypatch)
    plan = Plan.open(work / "plan")
    model, logprobs = plain_logprobs(policy, plan)
    weights = []

    def row_loss(number: int, row: Row, logprob_T: Tensor) -> Tensor:
        assert row.behavior_logprob is not None
        weights.append(min(math.exp(logprob_T.sum().item() - row.behavior_logprob), 1.5))
        return -weights[-1] * row.reward * logprob_T.sum() / plan.num_targets(0)

    found = run_splits(ranks, tmp_path, work, 1)
    assert_same(found, *reference(model, plan, logprobs, row_loss, 0))
    assert found[0][0]["mean_importance_weight"] == pytest.approx(np.mean(weights), rel=1e-5)
    assert found[0][0]["importance_capped_fraction"] == pytest.approx(2 / 5)


def test_levels_of_importance_weights() -> None:
    # Two rows of 2 and 4 tokens, log ratios 2 log 2 and -4 log 2, and one that is mixed in.
    rows = [Row(**ROW, response_ids=np.zeros(length, np.int32)) for length in (2, 4, 1)]
    mus = (-2 * math.log(2), 4 * math.log(2), None)
    rows = [replace(row, behavior_logprob=mu) for row, mu in zip(rows, mus, strict=True)]
    logprob_T = torch.zeros(7)
    expected = {"sequence": [3.0, 1 / 16, 1.0], "token": [2.0, 0.5, 1.0]}
    for level, weights in expected.items():
        config = Config(importance="truncated", importance_level=level, importance_cap=3)
        objective = Objective(config, plan=None, before=None)
        assert objective.importance(rows, logprob_T) == pytest.approx(weights)


@pytest.mark.parametrize("cap", [1.0, 2.0])
def test_mixed_in_rows_are_not_among_those_whose_weight_is_capped(cap: float) -> None:
    rows = [Row(**ROW, response_ids=np.zeros(1, np.int32)) for _ in range(4)]
    for number, ratio in enumerate((0.25, 8.0)):
        rows[number] = replace(rows[number], behavior_logprob=-math.log(ratio))
    config = Config(importance="truncated", importance_cap=cap)
    objective = Objective(config, plan=None, before=None)
    sums = torch.zeros(4, dtype=torch.float64)
    largest = torch.zeros((), dtype=torch.float64)
    for part in (rows[:1], rows[1:3], rows[3:]):
        weights = objective.importance(part, torch.zeros(len(part)))
        own, most = objective.weighed(part, weights, torch.device("cpu"))
        sums, largest = sums + own, torch.maximum(largest, most)
    assert objective.figures(0, sums, float(largest)) == {
        "importance_rows": 2,
        "mean_importance_weight": pytest.approx((0.25 + cap) / 2),
        "largest_importance_weight": cap,
        "importance_capped_fraction": 0.5,
    }
    none = objective.weighed(rows[2:], [1.0, 1.0], torch.device("cpu"))
    assert objective.figures(0, none[0], float(none[1])) == {"importance_rows": 0}


def _says(ids: bytes, policy: Path, response: str) -> bool:
    tokenizer = AutoProcessor.from_pretrained(policy).tokenizer
    text: str = tokenizer.decode(np.frombuffer(ids, np.int32)[:-1])
    return text == response


@pytest.mark.usefixtures("standing")
def test_it_refuses_to_start_from_another_policy_than_was_scored(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = write_group_run(tmp_path / "run", 3)
    config = make_config(run_dir, objective="grpo")
    plan = Plan.open(make_task(run_dir, policy, config, monkeypatch) / "plan")
    _, logprobs = plain_logprobs(policy, plan)
    write_scores(plan, {row: (own + 0.01).tolist() for row, own in logprobs.items()})
    with pytest.raises(EngineError, match=r"0\.01 from 1"):
        train.run(make_job(run_dir, policy, config), config)


def test_trust_grpo_without_a_thinking_reward(tmp_path: Path, policy: Path) -> None:
    run_dir = write_group_run(tmp_path / "run", 3, is_scored=False)
    config = make_config(run_dir, objective="trust-grpo")
    with pytest.raises(InputError, match="sophia judge"):
        train.run(make_job(run_dir, policy, config), config)


def test_trajectories_that_are_no_groups(tmp_path: Path, policy: Path) -> None:
    run_dir = write_run(tmp_path / "run", make_rows(3))
    config = make_config(run_dir, objective="grpo")
    with pytest.raises(InputError, match=r'propagate\.select = "group"'):
        train.run(make_job(run_dir, policy, config), config)


@pytest.mark.parametrize(
    "values",
    [
        {"objective": "grpo", "mix": {"text": {"path": "world:text"}}},
        {"objective": "trust-grpo", "importance": "truncated"},
        {"importance": "clipped"},
        {"importance_cap": 0},
        {"clip": 1},
        {"annealing_steps": 0},
    ],
)
def test_settings_that_mean_nothing_together_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Config(**values)


def test_trajectories_that_an_objective_can_not_use() -> None:
    group = Group(outcomes=[1.0, 0.0], thinkings=[None, None], trust=None)
    single = Example(sample={}, response="a")
    grouped = replace(single, group=group)
    assert unusable(single, Config()) is None
    weighted = Config(importance="truncated")
    assert unusable(single, weighted) == "its log-probability under the behavior model is not known"
    assert unusable(replace(single, behavior_logprob=-3.0), weighted) is None
    assert "no group" in str(unusable(single, Config(objective="trust-grpo")))
    assert unusable(grouped, Config(objective="trust-grpo")) is None
    assert unusable(grouped, Config(objective="grpo")) == "it has no advantage"
    assert unusable(replace(grouped, advantage=1.0), Config(objective="grpo")) is None
