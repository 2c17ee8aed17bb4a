"""The DeepSpeed engine: its configuration, AdamW's parameter groups, and the learning rate."""

import math
from typing import Any

import deepspeed
import torch
from torch import nn

from stages.training.config import Config


def make_engine(module: nn.Module, config: Config, dtype: torch.dtype, device: torch.device) -> Any:
    """Wrap the trained part of a policy; stage 0 in bfloat16 was refused before."""
    optimizer = torch.optim.AdamW(
        parameter_groups(module, config.weight_decay),
        lr=config.learning_rate,
        fused=True,
    )
    if config.zero_stage == 0:
        _clip_before_step(optimizer, module, config.gradient_clipping)
    settings = engine_config(config, dtype)
    if config.zero_stage == 3:
        # Weight by weight: DeepSpeed itself would first move all of them to every GPU.
        deepspeed.zero.Init(module=module, config_dict_or_path=settings, mem_efficient_linear=False)
        for buffer in module.buffers():
            buffer.data = buffer.data.to(device)
    engine, *_ = deepspeed.initialize(model=module, optimizer=optimizer, config=settings)
    return engine


def engine_config(config: Config, dtype: torch.dtype) -> dict[str, Any]:
    """DeepSpeed's configuration.

    Accumulation is not managed: a step has as many micro-batches as it has, and ends when the loop
    says so. Gradients are summed in float32, over ranks and over micro-batches; DeepSpeed's default
    is the model's type.
    """
    clipping = config.gradient_clipping if config.zero_stage else 0.0
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,
        "data_types": {"grad_accum_dtype": "fp32"},
        "communication_data_type": "fp32",
        "bf16": {"enabled": dtype == torch.bfloat16},
        "gradient_clipping": clipping,
        "zero_optimization": {
            "stage": config.zero_stage,
            "overlap_comm": False,
            "contiguous_gradients": True,
        },
        "zero_allow_untested_optimizer": True,
        "checkpoint": {"tag_validation": "Fail"},
        "steps_per_print": 1_000_000_000,
    }


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; norms and biases do not."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if len(shape_of(parameter)) >= 2]
    others = [parameter for parameter in trained if len(shape_of(parameter)) < 2]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def shape_of(parameter: nn.Parameter) -> tuple[int, ...]:
    """Shape of a whole parameter, of which ZeRO-3 leaves a part in place."""
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def describe_groups(engine: Any, module: nn.Module) -> list[dict[str, Any]]:
    """AdamW's parameter groups as they are, for the manifest."""
    parameters = [group["params"] for group in parameter_groups(module, 0.0)]
    return [
        {
            "weight_decay": group["weight_decay"],
            "betas": list(group["betas"]),
            "eps": group["eps"],
            "tensors": len(each),
            "parameters": sum(math.prod(shape_of(one)) for one in each),
        }
        for group, each in zip(engine.optimizer.param_groups, parameters, strict=True)
    ]


def learning_rate(config: Config, step: int, num_steps: int) -> float:
    """Learning rate of a step: a linear rise, then a cosine down to `final_lr_ratio`.

    Args:
        config: the highest rate, and the shape.
        step: 0, 1, ...
        num_steps: of the whole training.
    """
    warmup = math.ceil(config.warmup_ratio * num_steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / (num_steps - warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * (config.final_lr_ratio + (1 - config.final_lr_ratio) * cosine)


def set_learning_rate(engine: Any, value: float) -> None:
    """Set the rate of the step to come; no scheduler has a state to restore."""
    for group in engine.optimizer.param_groups:
        group["lr"] = value


def gradient_norm(engine: Any) -> float:
    """L2 norm of the last step's gradient before clipping."""
    norm = engine.get_global_grad_norm()
    if norm is None:
        norm = engine.optimizer.last_gradient_norm
    return float(norm)


def _clip_before_step(optimizer: torch.optim.Optimizer, module: nn.Module, limit: float) -> None:
    """Clip where DeepSpeed runs the bare optimizer, which would not tell the norm."""

    def clip(own: Any, *_: Any) -> None:
        bound = limit or math.inf
        own.last_gradient_norm = nn.utils.clip_grad_norm_(module.parameters(), bound)

    optimizer.register_step_pre_hook(clip)
