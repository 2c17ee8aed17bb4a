from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data import tables
from sophia_cli import run_dir
from sophia_cli.config import resolve_config
from sophia_cli.run_dir import RunDir

STAGES = ("caption", "reason", "verify", "judge", "propagate-reward")


def save(run: RunDir, stage: str, digest: str = "d") -> None:
    config = resolve_config([], [f"run.max_error_rate=0.{len(stage)}"], {}).config
    run.save_config(config, tables.Metadata(stage=stage, digest=digest))


def test_stages_that_start_at_once_all_leave_their_digest(tmp_path: Path) -> None:
    for attempt in range(10):
        run = RunDir(tmp_path / str(attempt))
        run.root.mkdir()
        with ThreadPoolExecutor(len(STAGES)) as pool:
            list(pool.map(lambda stage, run=run: save(run, stage), STAGES))
        assert run.saved_config()["digests"] == dict.fromkeys(STAGES, "d")
        assert [path.name for path in run.root.iterdir()] == ["config.json"]


def test_the_lock_of_a_killed_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_dir, "LOCK_SECONDS", 0.1)
    (tmp_path / ".config.json.lock").touch()
    save(RunDir(tmp_path), "caption")
    assert RunDir(tmp_path).saved_config()["digests"] == {"caption": "d"}
