"""Run stages of a run: the one place where configuration, run directory and console meet."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import SophiaError
from sophia_cli.config import RunConfig, section, stage_module
from sophia_cli.console import ConsoleReport, err
from sophia_cli.run_dir import RunDir
from sophia_cli.signals import stop_on_signal
from stages.job import Job, Outcome

logger = logging.getLogger(__name__)

TOO_MANY_ERRORS = 4
STOPPED_EARLY = 75


def execute(run: RunDir, config: RunConfig, stage: str) -> Outcome:
    """Do what is left of one stage, until it is complete or a signal comes.

    Raises:
        SophiaError: the stage can't run; the message says why.
    """
    run.require()
    metadata = run.metadata(config, stage)
    with logging_to(run.log_path(stage)), stopping(ConsoleReport()) as (report, should_stop):
        job = Job(
            stage=stage,
            run_dir=run.root,
            seed=config.run.seed,
            models={
                role: getattr(config.models, role) for role in type(config.models).model_fields
            },
            metadata=metadata,
            report=report,
            should_stop=should_stop,
            commit_seconds=config.run.commit_seconds,
        )
        logger.info("%s, digest %s, settings %s", stage, metadata.digest, metadata.settings)
        outcome: Outcome = stage_module(stage).run(job, section(config, stage))
        logger.info("%s", outcome)
        run.save_config(config, metadata)
    return outcome


@contextmanager
def stopping(report: ConsoleReport) -> Iterator[tuple[ConsoleReport, Callable[[], bool]]]:
    """Listen for stop signals, and close the report at the end."""
    with stop_on_signal(report.note) as should_stop:
        try:
            yield report, should_stop
        finally:
            report.close()


def exit_code(outcome: Outcome, config: RunConfig) -> int:
    """The contract's exit code of a stage that ran."""
    if not outcome.complete:
        return STOPPED_EARLY
    if outcome.errors > config.run.max_error_rate * outcome.rows:
        return TOO_MANY_ERRORS
    return 0


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Send what libraries log to a file of this attempt."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    for package in ("sophia_cli", "stages", "data"):
        logging.getLogger(package).setLevel(logging.INFO)
    try:
        yield
    except SophiaError as error:
        logger.error("%s", error)
        raise
    except Exception:
        logger.exception("the attempt failed")
        err.print(f"The log of this attempt: {path}", markup=False)
        raise
    finally:
        root.removeHandler(handler)
        handler.close()


def finish(outcome: Outcome, config: RunConfig) -> None:
    """End the process with the stage's exit code, unless it is complete."""
    code = exit_code(outcome, config)
    if code == TOO_MANY_ERRORS:
        err.print(
            f"Complete, but {outcome.errors} of {outcome.rows} rows failed; "
            "their `error` column says why.",
        )
    if code == STOPPED_EARLY:
        err.print("Stopped early; run the same command again to go on.")
    if code:
        sys.exit(code)
