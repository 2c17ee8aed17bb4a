"""Training asks the policy as generation does, and scores what it wrote alike."""

import threading
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.engines import ModelConfig, Request, Sampling, load_engine
from stages.prompts import answer_messages
from stages.training.plan import Plan
from stages.training.planning import make_plan
from stages.training.policy import Policy
from stages.training.render import Example, Renderer
from tests.stages.training.runs import make_config, make_rows, picture
from tests.stages.training.test_planning import plan_rows

SYSTEM = "Think slowly."


def test_a_rollout_has_the_logprob_that_generation_gave_it(tmp_path: Path, policy: Path) -> None:
    samples = [
        {"question": f"How many? {number}", "images": [{"bytes": picture(number), "path": None}]}
        for number in range(3)
    ]
    samples.append({"question": "And without a picture?", "images": []})
    requests = [
        Request(
            id=number,
            messages=answer_messages(sample, SYSTEM),
            images=[image["bytes"] for image in sample["images"]],
            sampling=Sampling(max_tokens=10 + 7 * number),
            seed=number,
            group=0,
        )
        for number, sample in enumerate(samples)
    ]
    engine = load_engine("policy", ModelConfig(path=str(policy)))
    completions = {made.id: made for made in engine.generate(iter(requests), lambda: False)}
    engine.close()

    examples = [
        Example(
            sample=sample,
            response=completions[number].text or "",
            token_ids=completions[number].token_ids,
            system=SYSTEM,
        )
        for number, sample in enumerate(samples)
    ]
    plan = make_plan(
        tmp_path / "plan",
        "digest",
        iter(examples),
        partial(Renderer, policy, 256, SYSTEM),
        make_config(tmp_path),
        seed=0,
        should_stop=lambda: False,
    )
    assert plan is not None
    assert not plan.rejected
    loaded = Policy(policy, torch.float32, torch.device("cpu"))
    loaded.use_packed_attention(True)
    with torch.no_grad():
        logprob_T = loaded.language(loaded.batch(plan, range(4)))
    of_rows = torch.split(logprob_T, [plan.response_lengths[row] for row in range(4)])
    for number, of_row in enumerate(of_rows):
        assert of_row.sum().item() == pytest.approx(completions[number].logprob, rel=1e-5)


def test_images_of_what_comes_next_are_read_meanwhile_and_once(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_rows(tmp_path, policy, [row for row in make_rows(12) if row["images"]])
    ahead, plain = (Policy(policy, torch.float32, torch.device("cpu")) for _ in range(2))
    reads: dict[tuple[int, ...], list[bool]] = defaultdict(list)
    own = ahead.vision.read

    def read(plan: Plan, images: tuple[int, ...]) -> Any:
        reads[images].append(threading.current_thread() is threading.main_thread())
        return own(plan, images)

    monkeypatch.setattr(ahead.vision, "read", read)
    numbers = [[0, 1], [2], [3], [0, 4]]
    for rows, batch in zip(numbers, ahead.batches(plan, numbers, [[5]]), strict=True):
        expected = plain.batch(plan, rows)
        assert batch.images is not None and expected.images is not None
        assert torch.equal(batch.images.embeddings_NH, expected.images.embeddings_NH)
        assert torch.equal(batch.input_ids_L, expected.input_ids_L)
    ahead.batch(plan, [5])
    assert {images[0]: where for images, where in reads.items()} == {
        **{0: [True], 1: [True]},  # when they were asked for
        **{row: [False] for row in (2, 3, 4, 5)},
    }


def test_only_the_language_model_trains(policy: Path) -> None:
    loaded = Policy(policy, torch.float32, torch.device("cpu"))
    trained = {name for name, weights in loaded.model.named_parameters() if weights.requires_grad}
    assert trained
    assert all(name.startswith(("model.language_model.", "lm_head.")) for name in trained)
    assert not loaded.model.model.vision_tower.training
