"""Optimizer steps of the trainer, packed and row by row in turns, and of TRL over the same rows."""

import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from data.tables import Metadata
from stages.training.config import Config
from stages.training.manifest import Manifest
from stages.training.plan import Plan
from stages.training.render import Renderer
from stages.training.task import Task
from stages.training.trainer import Trainer
from tests.performance.gpu_checks import GIB, Stopwatch
from tests.performance.gpu_models import SYSTEM, Rows, Shape

PEAK_FLOPS = 989e12
"""Dense bfloat16 of an H100 or H200, by the vendor's datasheet."""
MFU_FORMULA = (
    "(6 * N_layers * tokens + 6 * H * V * response tokens + 6 * layers * H * sum of row length^2"
    " + images * (2 * N_vision * patches + 4 * vision layers * H_vision * patches^2))"
    f" / seconds / {PEAK_FLOPS:.3g}; causal within rows, no recomputation, vision forward only"
)


def step_flops(plan: Plan, step: int, shape: Shape, parameters: dict[str, int]) -> float:
    """Arithmetic of one step, as `MFU_FORMULA` says."""
    rows, text = plan.steps[step], shape.text
    squares = sum(plan.lengths[row] ** 2 for row in rows)
    images = sum(len(plan.row(row).images) for row in rows)
    patches = (shape.image_size // shape.vision["patch_size"][0]) ** 2
    vision = 2 * parameters["vision"] * patches
    vision += 4 * shape.vision["num_hidden_layers"] * shape.vision["hidden_size"] * patches**2
    return float(
        6 * parameters["layers"] * plan.num_tokens(step)
        + 6 * text["hidden_size"] * shape.vocabulary * plan.num_targets(step)
        + 6 * text["num_hidden_layers"] * text["hidden_size"] * squares
        + images * vision
    )


def count_parameters(model: Any) -> dict[str, int]:
    """Of the decoder layers, and of everything that is not the language model."""
    layers = model.model.language_model.layers
    frozen = [part for part in model.model.children() if part is not model.model.language_model]
    return {
        "layers": sum(each.numel() for each in layers.parameters()),
        "vision": sum(each.numel() for part in frozen for each in part.parameters()),
        "trained": sum(each.numel() for each in model.parameters() if each.requires_grad),
    }


def make_trainer(policy: Path, plan: Plan, folder: Path, device: torch.device) -> Trainer:
    """The trainer as `sophia train` starts it on one GPU, in bfloat16 at ZeRO-2."""
    folder.mkdir(exist_ok=True)
    config = Config(objective="sft", zero_stage=2, dtype="bfloat16", batch_size=1)
    manifest = Manifest(
        metadata=Metadata(stage="train", digest="benchmark"),
        plan=plan.digest,
        planned={},
        step=0,
        num_steps=len(plan.steps),
        zero_stage=2,
        num_ranks=1,
        seconds=0.0,
    )
    task = Task(
        config=config,
        manifest=manifest,
        seed=0,
        model=policy,
        plan=plan.folder,
        checkpoints=folder,
        metrics=folder,
        progress=folder / "progress.jsonl",
        resume_from=None,
    )
    return Trainer(task, device)


def take_step(trainer: Trainer, plan: Plan, step: int, pack_length: int | None) -> dict[str, float]:
    """One step, with nothing left over from the other arm; seconds and memory."""
    config = trainer.task.config.model_copy(update={"pack_length": pack_length})
    trainer.task = replace(trainer.task, config=config)
    trainer.plan = plan
    trainer.manifest = replace(trainer.manifest, step=step)
    trainer.policy.use_packed_attention(pack_length is not None)
    trainer.policy.vision.forget()
    on_gpu = trainer.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    with Stopwatch(trainer.device) as watch:
        trainer.step()
    peak = torch.cuda.max_memory_allocated() / GIB if on_gpu else 0.0
    return {"seconds": watch.seconds, "gib": peak, "loss": trainer.manifest.last_step["loss"]}


def summarise(
    steps: list[dict[str, float]], plan: Plan, warmup: int, flops: list[float]
) -> dict[str, Any]:
    """Tokens per second and the rest, over the timed steps."""
    timed = range(warmup, len(steps))
    seconds = sum(steps[step]["seconds"] for step in timed)
    each = [steps[step]["seconds"] for step in timed]
    return {
        "tokens_per_second": round(sum(map(plan.num_tokens, timed)) / seconds, 1),
        "mfu": round(sum(flops[step] for step in timed) / seconds / PEAK_FLOPS, 4),
        "step_seconds_median": round(statistics.median(each), 4),
        "step_seconds": [round(one, 4) for one in each],
        "max_memory_allocated_gib": round(max(step["gib"] for step in steps), 2),
        "first_loss": round(steps[0]["loss"], 5),
    }


def measure_ours(
    policy: Path, rows: list[Rows], shape: Shape, folder: Path, warmup: int, device: torch.device
) -> dict[str, Any]:
    """Both arms of the trainer, step by step in turns, for each length."""
    plans = [each.plan(folder / f"plan-{each.longest}", policy) for each in rows]
    trainer = make_trainer(policy, plans[0], folder / "ours", device)
    parameters = count_parameters(trainer.policy.model)
    found: dict[str, Any] = {"parameters": parameters}
    for each, plan in zip(rows, plans, strict=True):
        arms: dict[str, list[dict[str, float]]] = {"packed": [], "row_by_row": []}
        for step in range(each.num_steps):
            for arm in list(arms)[:: 1 if step % 2 else -1]:
                length = each.longest if arm == "packed" else None
                arms[arm].append(take_step(trainer, plan, step, length))
        flops = [step_flops(plan, step, shape, parameters) for step in range(each.num_steps)]
        packs = [len(plan.packs(step, each.longest)) for step in range(each.num_steps)]
        found[str(each.longest)] = {
            "rows_per_step": len(plan.steps[0]),
            "tokens_per_step": round(statistics.mean(map(plan.num_tokens, range(each.num_steps)))),
            "packs_per_step": statistics.mean(packs),
            **{arm: summarise(made, plan, warmup, flops) for arm, made in arms.items()},
        }
        print(json.dumps({str(each.longest): found[str(each.longest)]}), flush=True)
    return found


def measure_trl(
    policy: Path, rows: Rows, plan: Plan, shape: Shape, folder: Path, warmup: int, weights: str
) -> dict[str, Any]:
    """TRL over the same rows in the same order, one row in a forward pass."""
    from tests.performance import trl_baseline

    renderer = Renderer(policy, rows.longest, SYSTEM)
    examples = list(rows.examples())
    order = [examples[row] for step in plan.steps for row in step]
    on_gpu = torch.cuda.is_available()
    times = trl_baseline.StepTimes()
    trainer = trl_baseline.make_trainer(
        policy,
        trl_baseline.as_dataset(order, renderer),
        folder / "trl",
        rows_per_step=len(plan.steps[0]),
        times=times,
        dtype=torch.float32 if weights == "float32" else torch.bfloat16,
        bf16=True,
        gradient_checkpointing=True,
        dataloader_num_workers=4 if on_gpu else 0,
        dataloader_prefetch_factor=8 if on_gpu else None,
    )
    parameters = count_parameters(trainer.model)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    trainer.train()
    peak = torch.cuda.max_memory_allocated() / GIB if on_gpu else 0.0
    losses = [logs["loss"] for logs in times.logged if "loss" in logs]
    steps = [
        {"seconds": seconds, "gib": peak, "loss": loss}
        for seconds, loss in zip(times.seconds, losses, strict=True)
    ]
    flops = [step_flops(plan, step, shape, parameters) for step in range(rows.num_steps)]
    found = {"weights": weights, **summarise(steps, plan, warmup, flops)}
    tokens = [logs["num_tokens"] for logs in times.logged if "num_tokens" in logs]
    assert tokens[0] == plan.num_tokens(0), "it does not train on the same tokens"
    return found
