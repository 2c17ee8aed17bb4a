"""Run stages of a run: the one place where configuration, run directory and console meet."""

import errno
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from data import tables
from data.errors import ConfigError, SophiaError, Stopped
from sophia_cli.config import RunConfig
from sophia_cli.console import ConsoleReport, err
from sophia_cli.pulse import pulse
from sophia_cli.run_dir import OPTIONAL_TABLES, WRITES, RunDir
from sophia_cli.signals import stop_on_signal
from sophia_cli.stage_settings import borrowed_settings, section, stage_module
from stages.budget import Budget
from stages.job import Job, Outcome, default_worker

logger = logging.getLogger(__name__)

TOO_MANY_ERRORS = 4
FOLLOW_SECONDS = 2.0

DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")
SECONDS = (86400, 3600, 60, 1)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """How a command is to go about its work; nothing of this shows in what it writes."""

    worker: str | None = None
    """Our name among workers; by default the host's and the process's."""
    seconds: float | None = None
    """The time there is."""
    redo: Literal["errors", "length"] | None = None
    """Rows to make again."""
    follow: bool = False
    """Wait for shards of the input that are not there yet."""
    dry_run: bool = False
    """Say what there is to do, and do none of it."""
    reshard: bool = False
    """Convert the newest checkpoint for another number of ranks, and train nothing."""


def parse_duration(text: str) -> float:
    """`3h50m`, `45m`, `90s` or `90` in seconds.

    Raises:
        ConfigError: it is none of these.
    """
    found = DURATION.fullmatch(text.strip().lower())
    parts = [int(part or 0) for part in found.groups()] if found else []
    if not sum(parts):
        raise ConfigError(
            f"{text!r} is not a length of time.", "Write it as 3h50m, 45m or 90s, for example."
        )
    return float(sum(part * unit for part, unit in zip(parts, SECONDS, strict=True)))


@dataclass(frozen=True)
class Session:
    """One command's work on a run."""

    run: RunDir
    config: RunConfig
    report: ConsoleReport
    should_stop: Callable[[], bool]
    attempt: Attempt = Attempt()
    budget: Budget = field(default_factory=Budget)

    def execute(self, stage: str, config: RunConfig | None = None) -> Outcome:
        """Do what is left of one stage, until it is complete or a signal comes.

        Args:
            stage: name of the stage.
            config: settings for this stage alone; by default the session's.

        Raises:
            SophiaError: the stage can't run; the message says why.
        """
        config = config or self.config
        self.run.require_for(config, stage)
        with full_disk_explained(self.run.root):
            return self._execute(stage, config)

    def _execute(self, stage: str, config: RunConfig) -> Outcome:
        if self.attempt.follow and not self._inputs_have_begun(stage, config):
            return Outcome(complete=False)
        metadata = self.run.metadata(config, stage)
        worker = self.attempt.worker or default_worker()
        job = Job(
            stage=stage,
            run_dir=self.run.root,
            seed=config.run.seed,
            models=config.models.by_role(),
            metadata=metadata,
            report=self.report,
            should_stop=self.should_stop,
            commit_seconds=config.run.commit_seconds,
            worker=worker,
            lease_seconds=config.run.lease_seconds,
            redo=self.attempt.redo,
            follow=self.attempt.follow,
            inputs=self._followed(stage, config) if self.attempt.follow else {},
            dry_run=self.attempt.dry_run,
            reshard=self.attempt.reshard,
            budget=self.budget.renewed(),
            borrowed=borrowed_settings(config, stage),
        )
        if stage not in self.run.saved_config()["digests"]:
            self.run.save_config(config, metadata)  # a change is saved once it was not refused
        log = self.run.log_path(stage)
        pulse_path = self.run.pulse_folder / f"{log.stem}.json"
        with logging_to(log), pulse(pulse_path, stage, worker, self.report):
            logger.info("%s, digest %s, settings %s", stage, metadata.digest, metadata.settings)
            outcome: Outcome = stage_module(stage).run(job, section(config, stage))
            self.report.close()
            logger.info("%s", outcome)
        self.run.save_config(config, metadata)
        return outcome

    def _followed(self, stage: str, config: RunConfig) -> dict[str, tables.Metadata]:
        """What the tables that other stages are writing will say of themselves."""
        names = stage_module(stage).tables_read(section(config, stage))
        return {
            table: self.run.metadata(config, writer)
            for writer, table in WRITES.items()
            if table in names
        }

    def _inputs_have_begun(self, stage: str, config: RunConfig) -> bool:
        """Wait until every input table has a shard; False where it was time to stop first."""
        names = stage_module(stage).tables_read(section(config, stage))
        names = [name for name in names if name not in OPTIONAL_TABLES]
        said = False
        while not all(tables.shards(self.run.root / name) for name in names):
            if self.should_stop():
                return False
            if not said:
                self.report.note(f"waiting for the first shards of {', '.join(names)}")
                said = True
            time.sleep(FOLLOW_SECONDS)
        return True


@contextmanager
def session(run: RunDir, config: RunConfig, attempt: Attempt | None = None) -> Iterator[Session]:
    """Listen for stop signals for as long as a command works, and end its progress bar."""
    attempt = attempt or Attempt()
    budget = Budget(attempt.seconds)
    with stopping() as (report, is_signalled):

        def should_stop() -> bool:
            return is_signalled() or budget.is_spent()

        yield Session(run, config, report, should_stop, attempt, budget)


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
def full_disk_explained(folder: Path) -> Iterator[None]:
    """Turn a full disk into a stop: what was committed is safe.

    Raises:
        Stopped: there is no room left.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Stopped(
            f"There is no room left on the disk of {folder}.",
            "Free some, then run the same command again: what was committed is safe.",
        ) from error


class _LogFile(logging.FileHandler):
    """A log that a full disk cuts short without a word."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Go on."""


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Send what libraries log to a file of this attempt."""
    handler = _LogFile(path)
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
        err.print(failed_rows(outcome), markup=False)
        sys.exit(code)


def failed_rows(outcome: Outcome) -> str:
    """How many rows failed, and where it says why: of training, which has no table, in a file."""
    file = outcome.figures.get("rejected_rows")
    state = "Planned" if outcome.figures.get("dry_run") else "Complete"
    how = "were rejected" if file else "failed"
    where = file or "their `error` or `status` column"
    return f"{state}, but {outcome.errors} of {outcome.rows} rows {how}; {where} says why."
