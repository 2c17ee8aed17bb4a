import pytest
import torch
from torch import nn

from stages.training.config import Config
from stages.training.optimizer import engine_config, learning_rate, parameter_groups


def rates(num_steps: int, warmup_ratio: float = 0.0) -> list[float]:
    config = Config(learning_rate=4.0, final_lr_ratio=0.25, warmup_ratio=warmup_ratio)
    return [learning_rate(config, step, num_steps) for step in range(num_steps)]


def test_the_rate_follows_a_cosine_to_a_quarter() -> None:
    # 4 * (1/4 + 3/4 * (1 + cos(pi t / 4)) / 2) at t = 0 .. 3
    assert rates(4) == pytest.approx([4.0, 3.5606601717798214, 2.5, 1.4393398282201788])
    assert rates(1000)[-1] == pytest.approx(1.0, abs=1e-4)


def test_the_rate_rises_linearly_first() -> None:
    assert rates(10, warmup_ratio=0.4)[:5] == pytest.approx([1.0, 2.0, 3.0, 4.0, 4.0])


def test_norms_and_biases_do_not_decay() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    matrices, others = parameter_groups(module, 0.05)
    assert (matrices["weight_decay"], others["weight_decay"]) == (0.05, 0.0)
    assert [weights.ndim for weights in matrices["params"]] == [2]
    assert [weights.ndim for weights in others["params"]] == [1, 1, 1]


def test_gradients_are_accumulated_in_float32() -> None:
    settings = engine_config(Config(zero_stage=3), torch.bfloat16)
    assert settings["data_types"] == {"grad_accum_dtype": "fp32"}
    assert settings["bf16"] == {"enabled": True}
    assert settings["managed_gradient_accumulation"] is False
