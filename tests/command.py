"""The `sophia` command as a user runs it, a process of its own; and its stages, in this one."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sophia_cli.config import resolve_config
from sophia_cli.console import ConsoleReport
from sophia_cli.execute import Attempt, Session
from sophia_cli.run_dir import RunDir
from stages.job import Outcome

SOPHIA = str(Path(sys.executable).parent / "sophia")


def sophia(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [SOPHIA, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=600,
    )


def result_of(*arguments: str | Path) -> Any:
    """The JSON a command prints, which must have succeeded."""
    done = sophia(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The documented exit code, two sentences on standard error, and no traceback."""
    assert done.returncode == code, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr, done.stderr


def work(
    stage: str, run: Path, values: Sequence[str], *files: str, attempt: Attempt | None = None
) -> Outcome:
    """Run a stage in this process, which has imported torch already; it must complete.

    Args:
        stage: its name.
        run: the run's folder.
        values: settings as after `--set`.
        files: settings as after `--config`.
        attempt: how to go about it.
    """
    config = resolve_config([Path(file) for file in files], values, {}).config
    session = Session(RunDir(run), config, ConsoleReport(), lambda: False, attempt or Attempt())
    outcome = session.execute(stage)
    assert outcome.complete
    return outcome
