from pathlib import Path

import pytest
import torch

from data.errors import EngineError
from stages.training.parts import check_frozen, describe_parts, frozen_digest
from stages.training.policy import Policy


@pytest.fixture
def loaded(policy: Path) -> Policy:
    return Policy(policy, torch.bfloat16, torch.device("cpu"))


def test_it_says_which_parts_train(loaded: Policy) -> None:
    found = describe_parts(loaded.model)
    assert found["trained"].keys() == {"language_model"}, "the head is the embeddings"
    assert found["frozen"].keys() == {"vision_tower", "multi_modal_projector"}
    total = sum(each.numel() for each in loaded.model.parameters())
    assert sum(found["trained"].values()) + sum(found["frozen"].values()) == total


@pytest.mark.parametrize("part", ["vision_tower", "multi_modal_projector"])
def test_another_part_that_trains_is_a_bug(loaded: Policy, part: str) -> None:
    next(getattr(loaded.model.model, part).parameters()).requires_grad_()
    with pytest.raises(RuntimeError, match=part):
        describe_parts(loaded.model)


def test_nothing_that_trains_is_a_bug(loaded: Policy) -> None:
    loaded.model.requires_grad_(False)
    with pytest.raises(RuntimeError, match="should train"):
        describe_parts(loaded.model)


@torch.no_grad()
def test_a_frozen_weight_that_changes_is_found(loaded: Policy) -> None:
    before = describe_parts(loaded.model)
    for weights in loaded.language.parameters():
        weights.add_(1)
    check_frozen(before, frozen_digest(loaded.model))
    next(loaded.model.model.multi_modal_projector.parameters()).view(-1)[0] += 1
    with pytest.raises(EngineError, match="not those that training began with"):
        check_frozen(before, frozen_digest(loaded.model))
