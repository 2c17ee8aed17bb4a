"""How much of the hardware a step uses, and what is said of it."""

import shutil
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForImageTextToText
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLVisionConfig

from stages.training import flops
from stages.training.config import Config
from stages.training.flops import Work, patches_of
from stages.training.lora import add_adapters
from stages.training.meters import Meters, Stopwatch
from stages.training.metrics import WANDB_RUN, Metrics, start_wandb

FIGURES = {
    **{"loss": 1.5, "learning_rate": 1e-3, "gradient_norm": 0.5, "tokens": 300},
    **{"trained_tokens": 200, "rows": 4, "seconds": 2.0, "images": 6, "pack_fill": 0.75},
    **{"data_seconds": 0.5, "peak_bytes": 3 * 2**30, "operations": 8e12},
}


def test_operations_are_those_that_torch_counts(policy: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(policy, attn_implementation="eager")
    model.requires_grad_(False)
    model.model.language_model.requires_grad_(True)
    model.lm_head.requires_grad_(True)
    work, length = Work.of(model), 40
    hidden = torch.randn(1, length, 64, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        states = model.model.language_model(inputs_embeds=hidden, use_cache=False)
        model.lm_head(states.last_hidden_state[:, :25]).sum().backward()
    # The counter sees all of the attention, of which half is masked.
    masked = 6 * work.layers * work.width * length * length
    assert work.operations([length], 25, []) == counter.get_total_flops() - masked


def test_vision_goes_forward_only(policy: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(policy, attn_implementation="eager")
    work = Work.of(model)
    pixels = torch.randn(2, 3, 28, 28)
    patches = patches_of({"pixel_values": pixels}, model.config.vision_config)
    assert patches == [(16, 16)] * 2
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.model.get_image_features(pixel_values=pixels, return_dict=True)
    # A token for the class is one more; the projector sees a quarter of the patches, four wide.
    assert work.operations([], 0, patches) == pytest.approx(counter.get_total_flops(), rel=0.5)


def test_frozen_weights_have_no_gradient_to_work_out(policy: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(policy).requires_grad_(False)
    whole = Work.of(model)
    add_adapters(model, Config(lora_rank=2), seed=1)
    adapted = Work.of(model)
    assert adapted.language == whole.language
    trained = sum(each.numel() for each in model.parameters() if each.requires_grad)
    assert adapted.adapters == trained
    expected = 10 * (4 * whole.language + 6 * trained)
    assert adapted.operations([10], 0, []) == expected + 6 * whole.layers * whole.width * 100


def test_most_layers_of_qwen_look_through_windows() -> None:
    vision = Qwen2_5_VLVisionConfig(depth=4, fullatt_block_indexes=[3], patch_size=14)
    pixels = {"image_grid_thw": torch.tensor([[1, 4, 6], [1, 16, 16]])}
    assert patches_of(pixels, vision) == [(24, 24), (256, (256 + 3 * 64) / 4)]


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H200", 989),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA H20", 148),
        ("NVIDIA GeForce RTX 3090", None),
    ],
)
def test_peaks_are_known_by_name_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, name: str, tflops: float | None
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    expected = None if tflops is None else tflops * 1e12
    cuda = torch.device("cuda", 0)
    assert flops.known_peak(torch.bfloat16, cuda) == expected
    assert flops.known_peak(torch.float32, cuda) is None
    assert flops.known_peak(torch.bfloat16, torch.device("cpu")) is None


def test_rates() -> None:
    meters = Meters(num_ranks=2, peak=1e13)
    for seconds in (1.0, 9.0):
        meters.read(FIGURES | {"seconds": seconds})
    found = meters.read(FIGURES)
    assert found == {
        **{"loss": 1.5, "gradient_norm": 0.5, "tokens_per_second": 150.0},
        **{"trained_tokens_per_second": 100.0, "images_per_second": 3.0, "data_wait_rate": 0.25},
        **{"step_seconds_p50": 2.0, "step_seconds_p95": 9.0, "peak_gib": 3.0},
        **{"pack_fill_rate": 0.75, "mfu_rate": 0.2},
    }
    assert "mfu_rate" not in Meters(num_ranks=2, peak=None).read(FIGURES)
    assert "pack_fill_rate" not in meters.read(FIGURES | {"pack_fill": None})


def test_a_stopwatch_counts_from_zero_again() -> None:
    watch = Stopwatch()
    for _ in range(2):
        with watch:
            time.sleep(0.01)
    assert watch.take() >= 0.02
    assert watch.take() == 0.0


def test_weights_and_biases_gets_every_step_of_a_training_as_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = tmp_path / "run" / "metrics"
    folder.mkdir(parents=True)
    meters = Meters(num_ranks=1, peak=None)
    plan = tmp_path / "run" / "checkpoints" / ".work" / "plan"
    for step in (1, 2, 1):
        if step == 1:
            shutil.rmtree(tmp_path / "run" / "checkpoints", ignore_errors=True)
            plan.mkdir(parents=True)
        started = start_wandb("sophia", folder, plan / WANDB_RUN)
        assert started.name == "run"
        with Metrics(folder, folder / "x.jsonl", step - 1, meters, None, started) as metrics:
            metrics.write(step, FIGURES)
        assert wandb.run is None
    logs = list(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(logs) == 3 and all(b"images_per_second" in log.read_bytes() for log in logs)
    attempts = Counter(log.name for log in logs)
    assert sorted(attempts.values()) == [1, 2], "two attempts, one run; a fresh training, another"
