"""What the user reads when ranks fail: launched for real, they fail for real."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from data.errors import ConfigError, EngineError
from stages.job import Job
from stages.training.failure import find_cause
from stages.training.launch import alone, launch
from stages.training.task import Task
from tests.stages.training.runs import make_config, make_job
from tests.stages.training.test_checkpoint import START

FAILING = "tests.stages.training.failing"


def run(folder: Path, job: Job, how: str, num_ranks: int) -> None:
    with alone(folder / "checkpoints", lambda: False) as lock:
        launch(
            job,
            folder / f"{how}.json",
            num_ranks=num_ranks,
            progress=folder / "progress.jsonl",
            log=folder / "ranks.log",
            lock=lock,
            module=FAILING,
        )


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return make_job(tmp_path, tmp_path / "policy", make_config(tmp_path))


def test_what_is_raised_before_the_ranks_have_joined(tmp_path: Path, job: Job) -> None:
    with pytest.raises(EngineError, match=r"failed: OSError: .*No space.*\. Free some.*ranks\.log"):
        run(tmp_path, job, "raise_before_joining", 1)


def test_the_first_of_several_exceptions_is_the_cause(tmp_path: Path, job: Job) -> None:
    with pytest.raises(EngineError, match=r"failed: ValueError: This one came first\. The whole"):
        run(tmp_path, job, "raise_first", 2)


def test_a_kill_is_named_and_not_what_the_other_ranks_make_of_it(tmp_path: Path, job: Job) -> None:
    with pytest.raises(EngineError) as raised:
        run(tmp_path, job, "be_killed", 2)
    assert raised.value.what == "Training failed: rank 1 was killed by signal 9 (SIGKILL)."
    assert raised.value.remedy.startswith("If the machine ran out of memory, ")
    assert "[rank0]: RuntimeError" in (tmp_path / "ranks.log").read_text()


def test_an_error_of_ours_comes_as_it_was_raised(tmp_path: Path, job: Job) -> None:
    config = make_config(tmp_path, num_ranks=2)
    Task(
        config=config,
        manifest=replace(START, metadata=job.metadata),
        seed=job.seed,
        model=tmp_path,
        plan=tmp_path,
        checkpoints=tmp_path,
        metrics=tmp_path,
        progress=tmp_path,
        resume_from=None,
    ).dump(tmp_path / "have_one_device.json")
    with pytest.raises(ConfigError) as raised:
        run(tmp_path, job, "have_one_device", 2)
    assert raised.value.what.startswith("train.num_ranks = 2, and ")
    assert raised.value.remedy == "Set train.num_ranks to 1 or fewer."


def test_a_stop_just_as_the_ranks_end_does_no_harm(tmp_path: Path, job: Job) -> None:
    def is_over() -> bool:
        """Say so between the ranks' end and the moment at which it is seen."""
        told = tmp_path / "torchrun"
        if not told.exists() or not (number := told.read_text()):
            return False
        process = Path("/proc", number, "stat")
        while process.read_text().rsplit(")", 1)[1].split()[0] != "Z":
            time.sleep(0.05)
        return True

    run(tmp_path, replace(job, should_stop=is_over), "leave", 1)


@pytest.mark.parametrize(
    ("text", "code", "cause"),
    [
        ("", 1, "the ranks ended without an exception"),
        ("", -9, "torchrun was killed by signal 9 (SIGKILL)"),
        ("srun: error: Unable to create step.\n", 1, "srun: error: Unable to create step"),
    ],
)
def test_ranks_that_say_nothing(text: str, code: int, cause: str) -> None:
    assert find_cause(text, code) == cause
