"""`sophia status` beside a real run: while a model judges an evaluation, stopped, and after."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from data.errors import Stopped
from sophia_cli.config import resolve_config
from sophia_cli.console import ConsoleReport
from sophia_cli.execute import Session
from sophia_cli.run_dir import RunDir
from sophia_cli.status import read_status
from tests.command import SOPHIA, result_of, sophia
from tests.stages.engines.serving import chat, scripted

NAME, NUM_QUESTIONS = "world@base", 16
NUM_REPLIES = 3
"""After so many the judge falls silent until it is told to go on."""
ASKED = [
    *("eval.checkpoint=base", f"eval.num_questions={NUM_QUESTIONS}", "run.max_error_rate=0.5"),
    *("models.policy.batch_size=16", "run.commit_seconds=0.1"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose base policy has been evaluated, by rule."""
    run = tmp_path_factory.mktemp("status") / "run"
    result_of("ingest", "world:train", "--run", run, "--limit", "1")
    config = resolve_config([Path("world:demo.toml")], ASKED, {}).config
    Session(RunDir(run), config, ConsoleReport(), lambda: False).execute("eval")
    return run


@contextmanager
def judging(run: Path) -> Iterator[tuple["subprocess.Popen[str]", threading.Event]]:
    """The command that has a model judge the answers, and what lets the model speak."""
    go_on = threading.Event()

    def reply(body: dict[str, Any]) -> tuple[int, Any]:
        if body["number"] >= NUM_REPLIES:
            go_on.wait(60)
        return 200, chat("I can't say." if body["number"] == 0 else "Verdict: different")

    with scripted(reply) as server:
        values = [
            *(*ASKED, "eval.llm_judge=all", "models.verifier.engine=endpoint"),
            *("models.verifier.path=judge", f"models.verifier.base_url={server.base_url}"),
        ]
        settings = [argument for value in values for argument in ("--set", value)]
        process = subprocess.Popen(
            [SOPHIA, "eval", "--run", run, "--config", "world:demo.toml", *settings],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process, go_on
        finally:
            go_on.set()
            process.kill()
            process.communicate()


def wait_until_held(run: Path) -> None:
    """Return when rows have been judged, one of them has failed, and no more are coming."""
    deadline = time.monotonic() + 60
    before: dict[str, Any] | None = None
    while True:
        status = read_status(RunDir(run))
        table, rate = status["judging"].get(NAME), status["stages"].get("eval")
        if table and table["errors"] and table == before and rate and rate["eta_seconds"]:
            return
        assert time.monotonic() < deadline, json.dumps(status, indent=2)
        before = table
        time.sleep(1)  # ten times what a row waits for the disk


def test_a_judge_at_work_is_seen_from_files_alone(run: Path) -> None:
    by_rule = read_status(RunDir(run))
    assert (by_rule["judging"], by_rule["stages"]) == ({}, {})
    with judging(run) as (process, go_on):
        wait_until_held(run)
        status = result_of("status", "--run", run)
        table, rate = status["judging"][NAME], status["stages"]["eval"]
        rows = table["rows"] + table["rows_under_way"]
        assert (table["total"], rate["total"]) == (NUM_QUESTIONS, NUM_QUESTIONS)
        assert 0 < table["errors"] < rows < NUM_QUESTIONS
        assert table["outcomes"]["error"] == table["errors"]
        assert rate["table"] == f"evals/{NAME}/judged"
        assert (rate["rows"], rate["workers"]) == (rows, 1)
        assert status["evaluating"] == {}, "all is answered"

        line = f"evals/{NAME}: {rows} of {NUM_QUESTIONS} answers judged, {table['errors']} failed"
        shown = sophia("status", "--run", run).stdout
        assert line in shown
        assert f"eval, evals/{NAME}/judged: {rows} of {NUM_QUESTIONS} rows" in shown
        assert watched(run, line), "again and again"

        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == Stopped.exit_code, errors
    stopped = read_status(RunDir(run))
    assert stopped["stages"] == {}
    assert stopped["judging"][NAME]["rows_under_way"] >= rows
    assert f"of {NUM_QUESTIONS} answers judged" in sophia("status", "--run", run).stdout

    with judging(run) as (process, go_on):
        go_on.set()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    done = read_status(RunDir(run))
    assert done["judging"] == {}
    assert done["evals"][NAME]["judged"]["num_answers"] == NUM_QUESTIONS
    assert "; judged: pass@1" in sophia("status", "--run", run).stdout


def watched(run: Path, line: str) -> bool:
    """Whether `--watch` shows a line more than once."""
    command = [SOPHIA, "status", "--run", run, "--watch", "0.5"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    seen = 0
    try:
        for shown in process.stdout:
            seen += line in shown
            if seen > 1:
                return True
    finally:
        process.kill()
        process.communicate()
    return False
