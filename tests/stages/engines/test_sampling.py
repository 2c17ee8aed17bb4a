import pytest
import torch
from torch import Tensor

from stages.engines.sampling import draw

PROBABILITIES = torch.tensor([0.1, 0.4, 0.2, 0.3])


def tokens(*, temperature: float = 1.0, top_p: float = 1.0, uniforms: list[float]) -> list[int]:
    def column(value: float) -> Tensor:
        return torch.full((len(uniforms),), value, dtype=torch.float64)

    logits = PROBABILITIES.log().repeat(len(uniforms), 1)
    drawn = draw(
        logits, column(temperature), column(top_p), torch.tensor(uniforms, dtype=torch.float64)
    )
    return drawn.tolist()


def test_each_token_has_its_share_of_the_unit_interval() -> None:
    assert tokens(uniforms=[0.0, 0.09, 0.11, 0.49, 0.51, 0.69, 0.71, 0.99]) == [
        *[0, 0, 1, 1, 2, 2, 3, 3]
    ]


def test_rounding_never_leaves_the_vocabulary() -> None:
    assert tokens(uniforms=[1.0]) == [3]
    assert tokens(uniforms=[1.0], top_p=0.5) == [3]


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.01, {1}), (0.39, {1}), (0.41, {1, 3}), (0.71, {1, 2, 3}), (0.95, {*range(4)})],
)
def test_top_p_keeps_the_smallest_set(top_p: float, kept: set[int]) -> None:
    assert set(tokens(top_p=top_p, uniforms=[i / 1000 for i in range(1000)])) == kept


def test_top_p_scales_what_is_kept() -> None:
    """0.4 and 0.3 remain, so that the first has four sevenths."""
    assert tokens(top_p=0.6, uniforms=[0.57, 0.572]) == [1, 3]


def test_temperature_sharpens() -> None:
    """Squared: 0.01, 0.16, 0.04, 0.09 of 0.3."""
    assert tokens(temperature=0.5, uniforms=[0.03, 0.04, 0.56, 0.57]) == [0, 1, 1, 2]


def test_temperature_zero_takes_the_likeliest() -> None:
    assert tokens(temperature=0.0, uniforms=[0.0, 0.99]) == [1, 1]


def test_rows_of_a_batch_have_their_own_settings() -> None:
    column = torch.tensor([[1.0, 1.0, 0.6], [0.0, 1.0, 0.0], [1.0, 0.3, 0.05]], dtype=torch.float64)
    logits = PROBABILITIES.log().repeat(3, 1)
    assert draw(logits, column[:, 0], column[:, 1], column[:, 2]).tolist() == [2, 1, 1]
