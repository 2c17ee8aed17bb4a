"""Every family trains on packed rows, and what is exported runs in transformers and in vLLM."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from data.images import open_image
from stages import train
from stages.engines import ModelConfig
from stages.engines.transformers import TransformersEngine
from stages.training.plan import Plan
from stages.training.policy import Policy
from stages.training.render import Renderer
from tests import tiny_families
from tests.stages.engines.asking import answers, ask
from tests.stages.training.runs import make_config, make_job, make_rows, picture, write_run
from tests.stages.training.standing import LOOP, Standing

FAMILIES = tuple(tiny_families.SAVERS)
PACK_LENGTH, LONGEST = 400, 4096


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, ranks: Standing) -> Path:
    """A model of each family, and a run in which it was trained."""
    folder = tmp_path_factory.mktemp("families")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "launch", lambda *_, **__: None)
        for family in FAMILIES:
            base = folder / family / "base"
            tiny_families.save(family, base)
            rows = make_rows(8)
            rows[1]["images"] = [picture(1), picture(2, (84, 56))]
            run_dir = write_run(folder / family / "run", rows)
            (run_dir / "metrics").mkdir()
            config = make_config(
                run_dir,
                pack_length=PACK_LENGTH,
                zero_stage=2 if family in ("internvl", "qwen3_vl") else 3,
                gradient_checkpointing=True,
            )
            assert not train.run(make_job(run_dir, base, config), config).complete
            # Not by `train.run`, which would take the plan away.
            ranks.run(1, LOOP, run_dir / "checkpoints" / train.WORK / "task.json")
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_the_language_model_was_trained_on_packs_and_nothing_else_changed(
    folder: Path, family: str
) -> None:
    run_dir = folder / family / "run"
    plan = Plan.open(run_dir / "checkpoints" / train.WORK / "plan")
    assert len(plan.steps) == 2
    assert all(len(plan.packs(step, PACK_LENGTH)) < len(plan.steps[step]) for step in range(2))
    before = load_file(folder / family / "base" / "model.safetensors")
    after = load_file(run_dir / "checkpoints" / "final" / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    frozen = {name for name in before if re.search("visi|visual|multi_modal_projector", name)}
    assert frozen
    assert changed == before.keys() - frozen


@pytest.mark.parametrize("family", FAMILIES)
def test_vllm_gives_the_greedy_tokens_of_transformers(folder: Path, family: str) -> None:
    from tests.stages.engines.test_vllm import start

    final = folder / family / "run" / "checkpoints" / "final"
    requests = [
        ask(number, "How many? " * (number + 1), images=images, temperature=0.0, max_tokens=24)
        for number, images in enumerate(
            [[picture(3)], [], [picture(4, (84, 56))], [picture(5), picture(6)]]
        )
    ]
    expected = answers(TransformersEngine(ModelConfig(path=str(final))), requests)
    engine = start(final)
    try:
        prepared = [engine.loop.submit(engine._prepare(request)).result() for request in requests]
        found = answers(engine, requests)
    finally:
        engine.close()
    renderer = Renderer(final, LONGEST, None)
    for request, (prompt, given) in zip(requests, prepared, strict=True):
        # What the engine makes of images is what training makes of them.
        in_training = renderer.prompt_ids(prompt.text, request.images)
        assert list(given["prompt_token_ids"]) == list(in_training)
        mine, theirs = found[request.id], expected[request.id]
        assert (mine.error, theirs.error) == (None, None)
        assert len(theirs.token_ids) > 1
        assert list(mine.token_ids) == list(theirs.token_ids)


@pytest.mark.parametrize("family", FAMILIES)
def test_images_are_processed_as_in_prompts(folder: Path, family: str) -> None:
    """Training calls the image processor alone, generation the whole processor."""
    loaded = Policy(folder / family / "base", torch.float32, torch.device("cpu"))
    images = [open_image(picture(1)), open_image(picture(2, (84, 56)))]
    whole = loaded.processor(
        text=[loaded.processor.image_token * 2], images=images, return_tensors="pt"
    )
    ours = loaded.vision.pixels(images)
    for name in ("pixel_values", "image_grid_thw"):
        assert (name in ours) == (name in whole)
        if name in whole:
            assert torch.equal(ours[name], whole[name])
    count = int((whole["input_ids"] == loaded.processor.image_token_id).sum())
    assert len(loaded.family.image_features(loaded.model, ours).embeddings_NH) == count
