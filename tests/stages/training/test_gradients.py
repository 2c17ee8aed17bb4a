"""A step's gradient is the same however the step is split, and that of a plain loop."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor

from data.images import open_image
from stages import train
from stages.training.config import Config
from stages.training.plan import Plan
from tests.stages.training.runs import make_config, make_job, make_rows, write_run
from tests.stages.training.standing import Standing

NUM_ROWS = 5
SPLITS = (
    {"micro_batch_size": 1},
    {"micro_batch_size": 4},
    {"pack_length": 1},
    {"pack_length": 200},
    {"pack_length": 100_000},
    {"pack_length": 200, "gradient_checkpointing": True},
)
"""Row by row under the model's own attention, and packs of all sizes."""


def make_task(run_dir: Path, policy: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Plan a run without training it."""
    monkeypatch.setattr(train, "launch", lambda *_, **__: None)
    assert not train.run(make_job(run_dir, policy, config), config).complete
    return run_dir / "checkpoints" / ".work"


def reference(policy: Path, plan: Plan, normalize: str) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients by the whole model, one unpadded row at a time."""
    model = AutoModelForImageTextToText.from_pretrained(policy, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(policy)
    divisor = {"token": plan.num_targets(0), "trajectory": len(plan.steps[0])}[normalize]
    total = 0.0
    for number in plan.steps[0]:
        row = plan.row(number)
        ids = torch.from_numpy(np.concatenate([row.prompt_ids, row.response_ids]).astype(np.int64))
        pixels: dict[str, Any] = {}
        if row.images:
            images = [open_image(plan.image(image)) for image in row.images]
            pixels = processor.image_processor(images, return_tensors="pt")
            pixels = {"pixel_values": pixels["pixel_values"]}
        logits = model(input_ids=ids[None], **pixels).logits[0].float()
        logprobs = logits.log_softmax(-1)[:-1].gather(-1, ids[1:, None])[:, 0]
        loss = -row.reward * logprobs[len(row.prompt_ids) - 1 :].sum() / divisor
        loss.backward()
        total += loss.item()
    named = model.named_parameters()
    trained = {name.removeprefix("model."): parameter.grad for name, parameter in named}
    return total, {
        name: trained[name] for name in trained if not name.startswith(("vision", "multi"))
    }


@pytest.mark.parametrize(
    ("zero_stage", "num_ranks", "normalize"),
    [(0, 1, "token"), (0, 2, "trajectory"), (2, 2, "token"), (3, 2, "token")],
)
def test_every_split_gives_the_gradient_of_a_plain_loop(
    tmp_path: Path,
    policy: Path,
    ranks: Standing,
    monkeypatch: pytest.MonkeyPatch,
    zero_stage: int,
    num_ranks: int,
    normalize: str,
) -> None:
    run_dir = write_run(tmp_path / "run", make_rows(NUM_ROWS))
    config = make_config(
        run_dir,
        batch_size=NUM_ROWS,
        zero_stage=zero_stage,
        num_ranks=num_ranks,
        normalize=normalize,
        gradient_clipping=0,
    )
    work = make_task(run_dir, policy, config, monkeypatch)
    program = "tests.stages.training.gradients"
    ranks.run(num_ranks, program, work / "task.json", tmp_path, list(map(json.dumps, SPLITS)))
    plan = Plan.open(work / "plan")
    assert [len(plan.packs(0, tokens)) for tokens in (1, 200, 100_000)] == [5, 3, 1]
    loss, expected = reference(policy, plan, normalize)
    norm = torch.stack([gradient.norm() for gradient in expected.values()]).norm().item()
    for number in range(len(SPLITS)):
        last_step, gradients = torch.load(tmp_path / f"{number}.pt")
        assert last_step["loss"] == pytest.approx(loss, rel=1e-6)
        assert last_step["gradient_norm"] == pytest.approx(norm, rel=1e-5)
        assert gradients.keys() == expected.keys()
        off = [(gradients[name].view_as(value) - value).norm() for name, value in expected.items()]
        assert torch.stack(off).norm() < 1e-6 * norm
        for name, gradient in gradients.items():
            torch.testing.assert_close(
                gradient.reshape(expected[name].shape),
                expected[name],
                atol=1e-6 * max(norm, 1),
                rtol=1e-5,
            )
