"""A stop under load on vLLM: no token generated is lost, and what was begun is finished."""

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from data import tables
from data.records import Rollout
from tests.command import SOPHIA, result_of

SETTINGS = [
    *("--config", "world:demo.toml", "--set", "models.reasoner.engine=vllm"),
    *("--set", "reason.num_rollouts=8", "--set", "run.commit_seconds=1"),
    *("--set", "models.reasoner.engine_args.max_num_seqs=64"),
]


def rows(folder: Path, pattern: str) -> list[dict[str, Any]]:
    return [row for path in folder.glob(pattern) for row in tables.read_rows(path, Rollout)]


@pytest.mark.timeout(600)
def test_a_stop_loses_no_token(tmp_path: Path) -> None:
    run, table = tmp_path / "run", tmp_path / "run" / "rollouts"
    result_of("ingest", "world:train", "--run", run, "--limit", "40", "--num-shards", "2")
    result_of(
        *("caption", "--run", run, "--config", "world:demo.toml"),
        *("--set", "caption.num_captions=2"),
    )
    worker = subprocess.Popen(
        [SOPHIA, "reason", "--run", run, *SETTINGS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while not list(table.glob(".parts/*/*.parquet")):
        assert time.monotonic() < deadline and worker.poll() is None, worker.communicate()
        time.sleep(0.05)
    # As Slurm does: to every process of the job, vLLM's own included.
    subprocess.run(["kill", "-TERM", "--", f"-{worker.pid}"], check=True)
    _, errors = worker.communicate(timeout=60)
    assert worker.returncode == 75, errors

    parts = rows(table, ".parts/*/*.parquet")
    unfinished = {key(row): row for row in parts if row["finish_reason"] == "unfinished"}
    assert len(unfinished) > 10, "about as many as run at once"
    status = result_of("status", "--run", run)
    assert status["tables"]["rollouts"]["tokens_kept"] == sum(
        len(row["token_ids"]) for row in unfinished.values()
    )
    outcome = result_of("reason", "--run", run, *SETTINGS)["reason"]
    assert (outcome["complete"], outcome["rows"]) == (True, 640)
    finished = {key(row): row for row in rows(table, "*.parquet")}
    assert {row["finish_reason"] for row in finished.values()} <= {"stop", "length"}
    for kept in parts:
        whole = finished[key(kept)]["token_ids"]
        assert whole[: len(kept["token_ids"])] == kept["token_ids"]


def key(row: dict[str, Any]) -> tuple[str, int, int]:
    return row["sample_id"], row["caption_index"], row["rollout_index"]
