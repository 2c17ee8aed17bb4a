from dataclasses import replace
from pathlib import Path

import pytest

from data.errors import RefusedError, Stopped
from data.tables import Metadata
from stages.training import checkpoint
from stages.training.manifest import CHUNK_BYTES, MANIFEST, Manifest, describe, share

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
    files = {"state/weights.pt": describe(path / "state" / "weights.pt")}
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
    manifest = folder / "step-000004" / MANIFEST
    manifest.write_text(manifest.read_text()[:-20])
    assert newest_step(folder) == 2


@pytest.mark.parametrize("content", [b"weights 5", b"weights"])
def test_a_damaged_file_is_no_checkpoint(folder: Path, content: bytes) -> None:
    (folder / "step-000004" / "state" / "weights.pt").write_bytes(content)
    assert newest_step(folder) == 2


def test_a_missing_file_is_no_checkpoint(folder: Path) -> None:
    (folder / "step-000004" / "state" / "weights.pt").unlink()
    assert newest_step(folder) == 2


def test_a_stop_is_heard_while_a_large_file_is_read(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, START)
    with (path / "state" / "weights.pt").open("r+b") as file:
        file.truncate(5 * CHUNK_BYTES)
    asked: list[int] = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) == 2

    with pytest.raises(Stopped, match="again"):
        checkpoint.newest(tmp_path, START, should_stop=should_stop)
    assert len(asked) == 2


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


def test_what_is_left_out_is_said_and_set_aside(folder: Path) -> None:
    (folder / "step-000004" / "state" / "weights.pt").unlink()
    (folder / "damaged-step-000004").mkdir()
    notes: list[str] = []
    found = checkpoint.newest(folder, START, notes.append)
    assert found is not None
    checkpoint.set_aside_newer(found[0])
    assert notes == ["left out, being damaged: step-000004 (state/weights.pt is missing)"]
    assert {path.name for path in folder.iterdir()} == {"step-000002", "damaged-step-000004"}
    assert (folder / "damaged-step-000004" / MANIFEST).exists()


@pytest.mark.parametrize("manifest", [b"", b"\xff\xfe", b"{}", b'{"files": {}}'])
def test_where_none_is_intact_training_does_not_begin_anew(folder: Path, manifest: bytes) -> None:
    (folder / "step-000002" / "state" / "weights.pt").write_bytes(b"torn")
    (folder / "step-000004" / MANIFEST).write_bytes(manifest)
    with pytest.raises(RefusedError, match=r"step-000004 \(no whole .*step-000002 \(state/weights"):
        checkpoint.newest(folder, START)
    assert len(checkpoint.steps(folder)) == 2, "they may be repaired"


def test_a_checkpoint_of_nothing_is_damaged(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, START)
    START.dump(path)
    with pytest.raises(RefusedError, match="names no files"):
        checkpoint.newest(tmp_path)


@pytest.mark.parametrize(("keep", "left"), [(1, [4]), (2, [2, 4]), (3, [2, 4])])
def test_the_newest_are_kept(folder: Path, keep: int, left: list[int]) -> None:
    checkpoint.prune(folder, keep)
    assert [int(path.name[-6:]) for path in checkpoint.steps(folder)] == left
    assert len(list(folder.iterdir())) == len(left)


def test_files_that_one_rank_alone_sees_are_read_too() -> None:
    """As on a network's file system, where listings are late."""
    seen = [["a", "b"], ["b", "c"], []]
    assert sorted(name for rank in range(3) for name in share(seen, rank)) == ["a", "b", "c"]
