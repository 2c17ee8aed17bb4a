"""What commands that run stages have in common."""

import os
import sys
from pathlib import Path

from sophia_cli import reports
from sophia_cli.config import Resolved, resolve_config
from sophia_cli.console import print_json
from sophia_cli.execute import TOO_MANY_ERRORS, Attempt, exit_code, finish, session
from sophia_cli.run_dir import RunDir
from sophia_cli.workers import run_workers
from stages.job import Outcome


def resolve(files: list[Path] | None, assignments: list[str] | None) -> Resolved:
    """The configuration that a command's options, the environment and files come to."""
    return resolve_config(files or [], assignments or [], os.environ)


def run_stage(
    stage: str,
    run: Path,
    files: list[Path] | None,
    assignments: list[str] | None,
    as_json: bool,
    attempt: Attempt | None = None,
    num_workers: int = 1,
) -> None:
    """Run one stage, or as many workers as asked for that do."""
    if num_workers > 1:
        sys.exit(run_workers(num_workers))
    run_in_order([stage], RunDir(run), resolve(files, assignments), as_json, attempt)


def run_in_order(
    stages: list[str],
    run: RunDir,
    resolved: Resolved,
    as_json: bool,
    attempt: Attempt | None = None,
    *,
    despite_errors: bool = False,
) -> None:
    """Run stages one after the other, up to one that stops early.

    Args:
        stages: their names.
        run: the run.
        resolved: the configuration.
        as_json: what came of them is printed as JSON.
        attempt: how to go about it.
        despite_errors: go on behind a stage that fails in too many rows, which ends it otherwise:
            the next one may cost days.
    """
    outcomes: dict[str, Outcome] = {}
    with session(run, resolved.config, attempt) as work:
        for stage in stages:
            outcomes[stage] = outcome = work.execute(stage)
            if not as_json:
                reports.show_outcome(stage, outcome)
            code = exit_code(outcome, resolved.config)
            if code and not (despite_errors and code == TOO_MANY_ERRORS):
                break
            if work.should_stop() and stage != stages[-1]:
                outcome.complete = False  # this stage is, the command is not
                break
    if as_json:
        print_json({name: vars(done) for name, done in outcomes.items()})
    for outcome in sorted(outcomes.values(), key=lambda outcome: outcome.complete):
        finish(outcome, resolved.config)
