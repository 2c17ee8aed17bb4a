import random
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AttentionInterface, AutoModelForImageTextToText
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from data.errors import EngineError
from stages.training.attention import PACKED, packed_attention
from stages.training.packing import deal, first_fit_decreasing
from stages.training.packing_check import check_packing, rows_to_check
from stages.training.plan import Plan
from stages.training.policy import Policy
from tests.stages.training.runs import make_rows
from tests.stages.training.test_planning import plan_rows


def test_rows_fill_packs_the_longest_first() -> None:
    lengths = {0: 3, 1: 7, 2: 5, 3: 4, 4: 12, 5: 5}
    assert first_fit_decreasing([*lengths], [*lengths.values()], 10) == [[4], [1, 0], [2, 5], [3]]


def test_packs_hold_every_row_once_and_no_more_than_fits() -> None:
    rng = random.Random(0)
    lengths = [rng.randrange(1, 40) for _ in range(200)]
    packs = first_fit_decreasing(range(200), lengths, 64)
    assert sorted(row for pack in packs for row in pack) == list(range(200))
    assert max(sum(lengths[row] for row in pack) for pack in packs) <= 64
    assert len(packs) <= 1.05 * sum(lengths) / 64 + 1
    order = random.Random(1).sample(range(200), 200)
    assert first_fit_decreasing(order, [lengths[row] for row in order], 64) == packs


def test_every_rank_has_as_many_packs() -> None:
    images = [(), (), (0,), (1,)]
    assert deal([[1], [2], [3]], 2, images) == [[[1], [3]], [[2], []]]
    assert deal([[1], [2]], 1, images) == [[[1], [2]]]


def test_a_pack_goes_to_the_rank_that_has_seen_its_images() -> None:
    images = [(0,), (1, 2), (1,), (0,), (2,), (), (2, 3)]
    packs = [[0], [1], [2], [3], [4, 5], [6]]
    dealt = deal(packs, 2, images)
    assert dealt == [[[0], [3], [6]], [[1], [2], [4, 5]]]
    for number, together in enumerate(zip(*dealt, strict=True)):
        assert sorted(together) == sorted(packs[2 * number : 2 * number + 2]), "of like length"


def test_ranks_share_fewer_images_of_groups() -> None:
    """16 ranks, 64 questions with 8 answers each."""
    rng = random.Random(0)
    lengths = [min(32768, 1500 + int(8000 * rng.lognormvariate(0, 0.7))) for _ in range(512)]
    packs = first_fit_decreasing(range(512), lengths, 32768)

    def passes(dealt: list[list[list[int]]]) -> int:
        return sum(len({row // 8 for pack in rank for row in pack}) for rank in dealt)

    blind = passes(deal(packs, 16, [()] * 512))
    assert passes(deal(packs, 16, [(row // 8,) for row in range(512)])) < 0.8 * blind


def test_packs_do_not_depend_on_the_number_of_ranks(tmp_path: Path, policy: Path) -> None:
    plan = plan_rows(tmp_path, policy, make_rows(11), batch_size=11)
    longest = max(plan.lengths)
    for num_ranks in (1, 2, 5):
        dealt = plan.micro_batches(0, 1, num_ranks, 2 * longest)
        assert len({len(packs) for packs in dealt}) == 1
        packs = [pack for packs in dealt for pack in packs if pack]
        assert sorted(packs) == sorted(plan.packs(0, 2 * longest))
        assert len(packs) < 11


@pytest.fixture
def sharp(tmp_path: Path, policy: Path) -> Path:
    """A policy whose attention makes a difference, as in one that was trained."""

    folder = tmp_path / "sharp"
    shutil.copytree(policy, folder)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.mul_(5)
    model.save_pretrained(folder)
    return folder


def test_rows_to_check_are_found_by_their_columns(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To build each row of a plan takes seconds."""
    plan = plan_rows(tmp_path, policy, make_rows(9))
    monkeypatch.setattr(Plan, "row", None)
    assert [plan.image_counts[row] for row in rows_to_check(plan)] == [1, 0, 1]


def test_a_model_that_can_be_packed_is_trained(tmp_path: Path, sharp: Path) -> None:
    plan = plan_rows(tmp_path, sharp, make_rows(9))
    images = [len(plan.row(row).images) for row in rows_to_check(plan)]
    assert images == [1, 0, 1]
    loaded = Policy(sharp, torch.float32, torch.device("cpu"))
    assert check_packing(loaded.language, loaded, plan, torch.float32) < 1e-5
    assert loaded.language.training


def test_a_model_whose_rows_see_each_other_is_refused(tmp_path: Path, sharp: Path) -> None:
    plan = plan_rows(tmp_path, sharp, make_rows(9))
    loaded = Policy(sharp, torch.float32, torch.device("cpu"))

    def blind(*arguments, segments, **keywords):  # type: ignore[no-untyped-def]
        return sdpa_attention_forward(*arguments, **keywords)

    AttentionInterface.register(PACKED, blind)
    try:
        with pytest.raises(EngineError, match=r"can't be trained on packed rows.*micro_batch_size"):
            check_packing(loaded.language, loaded, plan, torch.float32)
    finally:
        AttentionInterface.register(PACKED, packed_attention)
