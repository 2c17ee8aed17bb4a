import pytest

from stages.training.estimate import Sizes, activation_bytes, state_bytes

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


def test_a_long_row_fits_with_gradient_checkpointing_alone() -> None:
    kept = activation_bytes(QWEN_7B, 32768, 30000, 2, checkpointing=True) / GIB
    everything = activation_bytes(QWEN_7B, 32768, 30000, 2, checkpointing=False) / GIB
    assert 6 < kept < 16
    assert everything > 150
