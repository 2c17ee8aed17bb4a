"""Step 1 of the method: the policy is trained on descriptions and general data alone."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stages.training import checkpoint
from stages.training.manifest import Manifest
from tests.command import assert_refused, result_of, sophia

SETTINGS = (
    *("--config", "world:demo.toml", "--set", "train.objective=sft", "--set", "train.num_epochs=1"),
    *("--set", "train.mix.descriptions.rows=8", "--set", "train.mix.text.rows=4"),
)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose policy is warm."""
    run = tmp_path_factory.mktemp("warm-up") / "warm"
    found = result_of("train", "--run", run, *SETTINGS)["train"]
    assert found["complete"]
    assert (found["rows"], found["figures"]["num_trajectories"]) == (12, 0)
    return run


def test_a_warm_up_needs_no_samples_and_gives_a_policy(warm: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result_of("ingest", "world:train", "--run", run, "--limit", "2")
    policy = f"models.policy.path={warm / 'checkpoints' / 'final'}"
    limits = ("--set", "caption.max_tokens=8", "--set", "caption.num_captions=1")
    done = result_of("caption", "--run", run, *SETTINGS, "--set", policy, *limits)
    assert (done["caption"]["rows"], done["caption"]["errors"]) == (2, 0)

    # What comes next in this run is no warm-up: trajectories are missing.
    assert_refused(sophia("train", "--run", run, *SETTINGS), 5, "propagate-reward")


def test_a_dry_run_leaves_a_plan_and_nothing_else(tmp_path: Path) -> None:
    found = result_of("train", "--dry-run", "--run", tmp_path / "run", *SETTINGS)["train"]
    assert found["complete"] and found["figures"]["dry_run"] and found["rows"] == 12
    folder = tmp_path / "run" / "checkpoints"
    left = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert left == {"plan.parquet", "rejected.jsonl"}
    assert pq.read_table(folder / "plan.parquet").num_rows == 12


def test_a_checkpoint_is_resharded(warm: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(warm, tmp_path / "run"))
    shutil.rmtree(run / "checkpoints" / checkpoint.FINAL)
    (path,) = checkpoint.steps(run / "checkpoints")
    one = ("--set", "train.num_ranks=1")
    found = result_of("train", "reshard", "--run", run, *SETTINGS, *one)["train"]["figures"]
    assert (found["checkpoint"], found["ranks_before"], found["ranks"]) == (path.name, 2, 1)
    manifest = Manifest.load(path)
    assert manifest is not None and manifest.num_ranks == 1 and not manifest.damage(path)
    assert not (run / "checkpoints" / checkpoint.FINAL).exists(), "nothing was trained"


def test_the_world_has_to_be_told_how_much(tmp_path: Path) -> None:
    refused = sophia("train", "--run", tmp_path, *SETTINGS[:6])
    assert_refused(refused, 2, "train.mix.descriptions.rows")


def test_without_extra_data_there_is_no_warm_up(tmp_path: Path) -> None:
    settings = ("--set", "train.objective=sft", "--set", "models.policy.path=world:policy")
    assert_refused(sophia("train", "--run", tmp_path / "none", *settings), 5, "sophia ingest")
    assert not (tmp_path / "none").exists()


def test_where_rows_were_rejected_it_says_in_which_file_the_reasons_are(tmp_path: Path) -> None:
    answers = ["A star."] * 4 + [""] * 4
    rows = [{"question": f"{number}?", "response": text} for number, text in enumerate(answers)]
    (tmp_path / "extra.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run, mix = tmp_path / "run", f"train.mix.extra.path={tmp_path / 'extra.jsonl'}"
    settings = ("--set", "train.objective=sft", "--set", "models.policy.path=world:policy")
    train = ("train", "--run", run, *settings, "--set", mix)
    reasons = run / "checkpoints" / "rejected.jsonl"
    for options, state in ((("--dry-run",), "Planned"), ((), "Complete")):
        done = sophia(*train, *options)
        assert done.returncode == 4, done.stderr
        said = f"{state}, but 4 of 8 rows were rejected; {reasons} says why.\n"
        assert done.stderr.endswith(said), done.stderr
        assert len(reasons.read_text().splitlines()) == 4
