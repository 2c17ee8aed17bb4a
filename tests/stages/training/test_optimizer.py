from pathlib import Path

import pytest
import torch
from torch import nn

from stages.training.config import Config
from stages.training.optimizer import engine_config, learning_rate, parameter_groups
from tests.stages.training.runs import make_config, make_rows, write_run
from tests.stages.training.standing import Standing
from tests.stages.training.test_gradients import make_task


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


@pytest.mark.parametrize("zero_stage", [2, 3])
def test_ranks_sum_their_gradients_in_float32(
    tmp_path: Path,
    policy: Path,
    ranks: Standing,
    monkeypatch: pytest.MonkeyPatch,
    zero_stage: int,
) -> None:
    """The sum of two bfloat16 gradients, one of each rank, is most often none itself."""
    run_dir = write_run(tmp_path / "run", make_rows(2))
    config = make_config(
        run_dir,
        dtype="bfloat16",
        zero_stage=zero_stage,
        num_ranks=2,
        micro_batch_size=1,
        gradient_clipping=0,
    )
    work = make_task(run_dir, policy, config, monkeypatch)
    ranks.run(2, "tests.stages.training.gradients", work / "task.json", tmp_path, ["{}"])
    _, gradients = torch.load(tmp_path / "0.pt")
    gradient = torch.cat([each.flatten() for each in gradients.values()])
    gradient = gradient[gradient != 0]
    rounded = gradient.bfloat16().float()
    assert ((gradient - rounded).abs() > 1e-4 * gradient.abs()).float().mean() > 0.5


def test_gradients_are_accumulated_in_float32() -> None:
    settings = engine_config(Config(zero_stage=3), torch.bfloat16)
    assert settings["data_types"] == {"grad_accum_dtype": "fp32"}
    assert settings["bf16"] == {"enabled": True}
    assert settings["managed_gradient_accumulation"] is False
