"""The plan's outline takes an earlier one's place whole."""

from pathlib import Path

import pytest

from data import tables
from stages.training.outline import OUTLINE, write_outline
from stages.training.plan import REJECTED
from tests.stages.training.runs import make_rows
from tests.stages.training.test_planning import plan_rows

METADATA = tables.Metadata(stage="train", digest="x")


def test_there_is_one_at_any_moment(tmp_path: Path, policy: Path) -> None:
    plan, folder = plan_rows(tmp_path / "work", policy, make_rows(5)), tmp_path / "checkpoints"
    folder.mkdir()
    for name in (OUTLINE, REJECTED):
        (folder / name).write_text("an earlier plan's")
    can_not_be_written = tables.Metadata(stage="train", digest="x", settings={"no": object()})
    with pytest.raises(TypeError, match="not JSON"):
        write_outline(plan, None, folder, can_not_be_written)
    assert {path.read_text() for path in folder.iterdir()} == {"an earlier plan's"}
    with (folder / REJECTED).open() as reader:
        write_outline(plan, None, folder, METADATA)
        assert reader.read() == "an earlier plan's"
    assert {path.name for path in folder.iterdir()} == {OUTLINE, REJECTED}
    assert (folder / REJECTED).read_bytes() == (plan.folder / REJECTED).read_bytes()
    assert tables.read_metadata(folder / OUTLINE) == METADATA
