from pathlib import Path

import pytest
import torch

from stages.training.config import Config
from stages.training.estimate import (
    Sizes,
    activation_bytes,
    loading_bytes,
    make_skeleton,
    state_bytes,
)
from stages.training.policy import Policy

QWEN_7B = Sizes(
    trained=7_615_616_512,
    frozen=300_000_000,
    num_layers=28,
    hidden_size=3584,
    intermediate_size=18944,
)
GIB = 2**30


@pytest.mark.parametrize(
    ("zero_stage", "num_ranks", "weight_bytes", "bytes_each"),
    [
        (2, 8, 2, 2 + 16 / 8),  # the weights whole, the rest spread
        (3, 8, 2, 18 / 8),
        (0, 4, 4, 16),  # no copy where the weights are float32 already
    ],
)
def test_state(zero_stage: int, num_ranks: int, weight_bytes: int, bytes_each: float) -> None:
    found = state_bytes(QWEN_7B, zero_stage, num_ranks, weight_bytes)
    expected = QWEN_7B.trained * bytes_each + QWEN_7B.frozen * weight_bytes
    assert found == pytest.approx(expected, rel=1e-6)


def test_with_lora_only_adapters_have_a_state(policy: Path) -> None:
    whole = Sizes.of(make_skeleton(policy, Config()))
    adapted = Sizes.of(make_skeleton(policy, Config(lora_rank=2)))
    assert (adapted.adapted, adapted.frozen) == (whole.trained, whole.frozen)
    assert 0 < adapted.trained < whole.trained / 5
    weights = 2 * (whole.trained + whole.frozen + adapted.trained)
    assert state_bytes(adapted, 2, 4, 2) == weights + 16 * adapted.trained // 4
    spread = 2 * whole.frozen + (2 * whole.trained + 18 * adapted.trained) // 4
    assert state_bytes(adapted, 3, 4, 2) == pytest.approx(spread, abs=4)


def test_a_long_row_fits_with_gradient_checkpointing_alone() -> None:
    kept = activation_bytes(QWEN_7B, 32768, 30000, 2, checkpointing=True) / GIB
    everything = activation_bytes(QWEN_7B, 32768, 30000, 2, checkpointing=False) / GIB
    assert 6 < kept < 16
    assert everything > 150


def test_ranks_of_a_node_share_the_weights_that_need_no_conversion(policy: Path) -> None:
    """The policy's are float32."""
    for dtype, is_shared in ((torch.float32, True), (torch.bfloat16, False)):
        loaded = Policy(policy, dtype, torch.device("cpu")).model
        lines = Path("/proc/self/maps").read_text().splitlines()
        mapped = [line.split()[0].split("-") for line in lines if line.endswith(".safetensors")]
        ranges = [range(*(int(end, 16) for end in ends)) for ends in mapped]
        for each in loaded.parameters():
            assert any(each.data_ptr() in mapped for mapped in ranges) == is_shared
        num_bytes = sum(each.nbytes for each in loaded.parameters())
        found = loading_bytes(policy, dtype.itemsize, ranks_per_node=8)
        assert found == num_bytes * (1 if is_shared else 8)


def test_files_that_are_no_safetensors_tell_nothing(tmp_path: Path) -> None:
    assert loading_bytes(tmp_path, 2, ranks_per_node=8) is None
