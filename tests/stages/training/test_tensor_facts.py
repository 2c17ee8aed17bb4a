from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText

from stages.training.tensor_facts import differing, exported_facts, tensor_facts
from tests import tiny_families


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", tiny_families.SAVERS)
def test_what_an_export_will_have_is_what_it_has(
    tmp_path: Path, family: str, dtype: torch.dtype
) -> None:
    base, saved = tmp_path / "base", tmp_path / "saved"
    tiny_families.save(family, base)
    AutoModelForImageTextToText.from_pretrained(base, dtype=dtype).save_pretrained(saved)
    for folder in (base, saved):
        facts = tensor_facts(folder)
        exported, tied = exported_facts(folder, facts)
        again = AutoModelForImageTextToText.from_pretrained(folder, dtype="auto")
        again.save_pretrained(folder / "again")
        assert exported == tensor_facts(folder / "again")
        assert not differing(facts, exported, tied)
