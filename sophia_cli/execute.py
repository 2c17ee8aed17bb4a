"""Run stages of a run: the one place where configuration, run directory and console meet."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data.errors import SophiaError, Stopped
from sophia_cli.config import RunConfig, section, stage_module
from sophia_cli.console import ConsoleReport, err
from sophia_cli.run_dir import RunDir
from sophia_cli.signals import stop_on_signal
from stages.job import Job, Outcome

logger = logging.getLogger(__name__)

TOO_MANY_ERRORS = 4


@dataclass(frozen=True)
class Session:
    """One command's work on a run."""

    run: RunDir
    config: RunConfig
    report: ConsoleReport
    should_stop: Callable[[], bool]

    def execute(self, stage: str, config: RunConfig | None = None) -> Outcome:
        """Do what is left of one stage, until it is complete or a signal comes.

        Args:
            stage: name of the stage.
            config: settings for this stage alone; by default the session's.

        Raises:
            SophiaError: the stage can't run; the message says why.
        """
        config = config or self.config
        self.run.require()
        metadata = self.run.metadata(config, stage)
        job = Job(
            stage=stage,
            run_dir=self.run.root,
            seed=config.run.seed,
            models=dict(config.models),
            metadata=metadata,
            report=self.report,
            should_stop=self.should_stop,
            commit_seconds=config.run.commit_seconds,
        )
        if stage not in self.run.saved_config()["digests"]:
            self.run.save_config(config, metadata)  # a change is saved once it was not refused
        with logging_to(self.run.log_path(stage)):
            logger.info("%s, digest %s, settings %s", stage, metadata.digest, metadata.settings)
            outcome: Outcome = stage_module(stage).run(job, section(config, stage))
            self.report.close()
            logger.info("%s", outcome)
        self.run.save_config(config, metadata)
        return outcome


@contextmanager
def session(run: RunDir, config: RunConfig) -> Iterator[Session]:
    """Listen for stop signals for as long as a command works, and end its progress bar."""
    with stopping() as (report, should_stop):
        yield Session(run, config, report, should_stop)


@contextmanager
def stopping() -> Iterator[tuple[ConsoleReport, Callable[[], bool]]]:
    """Progress on standard error, and whether a stop signal has come."""
    report = ConsoleReport()
    with stop_on_signal(report.note) as should_stop:
        try:
            yield report, should_stop
        finally:
            report.close()


def exit_code(outcome: Outcome, config: RunConfig) -> int:
    """The contract's exit code of a stage that ran."""
    if not outcome.complete:
        return Stopped.exit_code
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
    """End the process with the stage's exit code, unless it is complete.

    Raises:
        Stopped: it was stopped early.
    """
    code = exit_code(outcome, config)
    if code == Stopped.exit_code:
        raise Stopped("Stopped early.", "Run the same command again to go on.")
    if code == TOO_MANY_ERRORS:
        err.print(
            f"Complete, but {outcome.errors} of {outcome.rows} rows failed; "
            "their `error` or `status` column says why.",
        )
        sys.exit(code)
