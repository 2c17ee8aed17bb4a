from dataclasses import replace
from pathlib import Path

import pytest

from data.errors import RefusedError
from data.tables import Metadata
from stages.training import checkpoint
from stages.training.checkpoint import Manifest

START = Manifest(
    metadata=Metadata(stage="train", digest="abc", settings={"train.learning_rate": 1e-3}),
    plan="plan",
    planned={},
    step=0,
    num_steps=10,
    zero_stage=2,
    num_ranks=2,
    seconds=0.0,
)


def write_checkpoint(folder: Path, manifest: Manifest) -> Path:
    """A checkpoint with one file in place of a training state."""
    path = folder / f"step-{manifest.step:06d}"
    (path / "state").mkdir(parents=True)
    (path / "state" / "weights.pt").write_bytes(b"weights %d" % manifest.step)
    files = {"state/weights.pt": checkpoint.describe(path / "state" / "weights.pt")}
    replace(manifest, files=files).dump(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for step in (2, 4):
        write_checkpoint(tmp_path, replace(START, step=step))
    return tmp_path


def newest_step(folder: Path, expected: Manifest = START) -> int | None:
    found = checkpoint.newest(folder, expected)
    return found and found[1].step


def test_the_newest_is_continued(folder: Path) -> None:
    assert newest_step(folder) == 4


def test_there_may_be_none(tmp_path: Path) -> None:
    assert newest_step(tmp_path / "missing") is None


def test_a_torn_manifest_is_no_checkpoint(folder: Path) -> None:
    manifest = folder / "step-000004" / checkpoint.MANIFEST
    manifest.write_text(manifest.read_text()[:-20])
    assert newest_step(folder) == 2


@pytest.mark.parametrize("content", [b"weights 5", b"weights"])
def test_a_damaged_file_is_no_checkpoint(folder: Path, content: bytes) -> None:
    (folder / "step-000004" / "state" / "weights.pt").write_bytes(content)
    assert newest_step(folder) == 2


def test_a_missing_file_is_no_checkpoint(folder: Path) -> None:
    (folder / "step-000004" / "state" / "weights.pt").unlink()
    assert newest_step(folder) == 2


def test_what_was_not_finished_is_ignored_and_removed(folder: Path) -> None:
    (folder / "step-000004").rename(folder / ".step-000004")
    assert newest_step(folder) == 2
    checkpoint.remove_unfinished(folder)
    assert not (folder / ".step-000004").exists()


def test_one_that_was_being_replaced_is_put_back(folder: Path) -> None:
    replaced = folder / f"{checkpoint.REPLACED}step-000004"
    (folder / "step-000004").rename(replaced)
    checkpoint.remove_unfinished(folder)
    assert newest_step(folder) == 4
    write_checkpoint(folder / "other", replace(START, step=4)).rename(replaced)
    checkpoint.remove_unfinished(folder)
    assert newest_step(folder) == 4
    assert not replaced.exists()


def test_other_settings_are_refused_by_name(folder: Path) -> None:
    changed = replace(START.metadata, digest="other", settings={"train.learning_rate": 2e-3})
    with pytest.raises(RefusedError, match=r"train\.learning_rate = 0\.001, now 0\.002"):
        checkpoint.check_same(folder, changed, START.plan)


def test_the_same_settings_are_not_refused(folder: Path) -> None:
    checkpoint.check_same(folder, START.metadata, START.plan)


def test_other_extra_data_is_refused(folder: Path) -> None:
    with pytest.raises(RefusedError, match="extra data"):
        checkpoint.check_same(folder, START.metadata, "other")


@pytest.mark.parametrize("changes", [{"num_ranks": 4}, {"zero_stage": 3}])
def test_another_layout_is_refused_with_the_way_out(folder: Path, changes: dict[str, int]) -> None:
    with pytest.raises(RefusedError, match=r"train\.num_nodes be 2, and train\.zero_stage 2"):
        checkpoint.newest(folder, replace(START, **changes))


def test_other_ranks_are_shown_the_way(folder: Path) -> None:
    with pytest.raises(RefusedError, match="convert it for 4 with `sophia train reshard`"):
        checkpoint.newest(folder, replace(START, num_ranks=4))


def test_steps_are_ordered_by_number(tmp_path: Path) -> None:
    for step in (999_999, 1_000_000, 5):
        write_checkpoint(tmp_path, replace(START, step=step))
    assert newest_step(tmp_path) == 1_000_000
