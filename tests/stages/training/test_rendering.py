"""Rows are rendered on all cores, in parts that a stop or a kill leaves there."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from data.errors import EngineError, Stopped
from sophia_cli.signals import stop_on_signal
from stages.training.plan import Plan
from stages.training.planning import make_plan
from stages.training.render import Example, Renderer, Tokens
from stages.training.rendering import PARTS, ROWS_PER_PART, WORTH_WORKERS
from tests.stages.training.runs import make_config, make_rows

NUM_ROWS = WORTH_WORKERS + 40
FILES = ("rows.arrow", "images.arrow", "rejected.jsonl", "plan.json")


class Deadly(Renderer):
    """A renderer that takes its process along, as running out of memory does."""

    def render(self, example: Example) -> Tokens | str:
        os.kill(os.getpid(), signal.SIGKILL)
        return "never"


class Progress:
    """A report of rows."""

    def __init__(self) -> None:
        self.started: list[tuple[str, int, int]] = []
        self.rows = 0

    def start(self, what: str, total: int, done: int, table: str | None = None) -> None:
        self.started.append((what, total, done))

    def advance(self, *, rows: int = 0, **_: int) -> None:
        self.rows += rows

    def watch(self, figures: object) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def examples() -> Iterator[Example]:
    for number, row in enumerate(make_rows(NUM_ROWS)):
        images = [{"bytes": image, "path": None} for image in row["images"]]
        yield Example(
            sample={"question": row["question"], "images": images},
            response=row["response"] if number % 50 else "<img>",
            reward=row["reward"] if number % 60 else 0,
            key=f"row {number}",
        )


def plan_rows(
    folder: Path,
    policy: Path,
    *,
    num_workers: int,
    report: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    kind: type[Renderer] = Renderer,
) -> Plan | None:
    mix = {"extra": {"path": "world:text", "rows": 20}}
    return make_plan(
        folder,
        "digest",
        examples(),
        partial(kind, policy, 4096, "Think."),
        make_config(folder, mix=mix),
        seed=7,
        should_stop=should_stop,
        total=NUM_ROWS,
        report=report,
        num_workers=num_workers,
    )


def contents(folder: Path) -> dict[str, bytes]:
    assert {path.name for path in folder.iterdir()} == set(FILES)
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, policy: Path) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("run") / "plan"
    assert plan_rows(folder, policy, num_workers=1) is not None
    return contents(folder)


def test_it_is_written_down_which_rows_are_rejected(undisturbed: dict[str, bytes]) -> None:
    listed = [json.loads(line) for line in undisturbed["rejected.jsonl"].splitlines()]
    numbers = [number for number in range(NUM_ROWS) if not number % 50 or not number % 60]
    assert [entry["row"] for entry in listed] == [f"row {number}" for number in numbers]
    assert {entry["reason"] for entry in listed} == {
        "the reward is not positive",
        "the response holds an image token",
    }


def test_the_plan_is_the_same_whatever_the_number_of_workers_and_stops(
    tmp_path: Path, policy: Path, undisturbed: dict[str, bytes]
) -> None:
    folder, report = tmp_path / "plan", Progress()

    def should_stop() -> bool:
        return len(list(folder.glob(f"{PARTS}/*/part-*"))) >= 3

    assert plan_rows(folder, policy, num_workers=1, should_stop=should_stop) is None
    assert plan_rows(folder, policy, num_workers=2, report=report) is not None
    assert contents(folder) == undisturbed
    done = 3 * ROWS_PER_PART
    assert report.started == [("plan", NUM_ROWS, done), ("plan extra", 20, 0)]
    assert report.rows == NUM_ROWS - done + 20


def test_what_was_rendered_outlives_a_kill_and_no_worker_does(
    tmp_path: Path, policy: Path, undisturbed: dict[str, bytes]
) -> None:
    folder = tmp_path / "plan"
    attempt = subprocess.Popen([sys.executable, "-m", __name__, str(folder), str(policy)])
    while len(list(folder.glob(f"{PARTS}/*/part-*"))) < 2:
        assert attempt.poll() is None
        time.sleep(0.01)
    family = psutil.Process(attempt.pid).children(recursive=True)
    assert len(family) >= 2
    attempt.kill()
    attempt.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive
    there, report = len(list(folder.glob(f"{PARTS}/*/part-*"))), Progress()
    assert plan_rows(folder, policy, num_workers=1, report=report) is not None
    assert report.started[0] == ("plan", NUM_ROWS, min(NUM_ROWS, there * ROWS_PER_PART))
    assert contents(folder) == undisturbed


def test_a_worker_that_dies_is_an_error_with_a_remedy(tmp_path: Path, policy: Path) -> None:
    with pytest.raises(EngineError, match="out of memory"):
        plan_rows(tmp_path / "plan", policy, num_workers=2, kind=Deadly)


def test_so_it_is_when_the_server_of_workers_dies(tmp_path: Path, policy: Path) -> None:
    def kill_server() -> bool:
        for process in psutil.Process().children():
            with contextlib.suppress(psutil.ZombieProcess):
                if any("multiprocessing.forkserver" in word for word in process.cmdline()):
                    process.kill()
        return False

    with pytest.raises(EngineError, match="out of memory"):
        plan_rows(tmp_path / "plan", policy, num_workers=2, should_stop=kill_server)


@pytest.mark.parametrize(("parts", "number"), [(0, signal.SIGHUP), (2, signal.SIGTERM)])
def test_a_signal_to_all_processes_is_a_stop(
    parts: int, number: signal.Signals, tmp_path: Path, policy: Path
) -> None:
    folder, errors = tmp_path / "plan", tmp_path / "errors"
    command = [sys.executable, "-m", __name__, str(folder), str(policy)]
    with errors.open("w") as file:
        attempt = subprocess.Popen(command, stderr=file, start_new_session=True)
    while len(psutil.Process(attempt.pid).children()) < 2:  # the tracker and the server
        assert attempt.poll() is None
        time.sleep(0.01)
    while len(list(folder.glob(f"{PARTS}/*/part-*"))) < parts:
        assert attempt.poll() is None
        time.sleep(0.01)
    family = psutil.Process(attempt.pid).children(recursive=True)
    os.killpg(attempt.pid, number)
    assert attempt.wait(timeout=60) == Stopped.exit_code, errors.read_text()
    assert "Traceback" not in errors.read_text()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive


def test_parts_of_another_plan_are_not_taken(
    tmp_path: Path, policy: Path, undisturbed: dict[str, bytes]
) -> None:
    folder = tmp_path / "plan"
    other = folder / PARTS / "other"
    other.mkdir(parents=True)
    for number in range(3):
        (other / f"part-{number:08d}.parquet").write_bytes(b"something else")
    (folder / "scores.arrow").write_bytes(b"of another plan")
    assert plan_rows(folder, policy, num_workers=1) is not None
    assert contents(folder) == undisturbed


def main(*arguments: Any) -> int:
    folder, policy = map(Path, arguments)
    with stop_on_signal(lambda text: None) as should_stop:
        plan = plan_rows(folder, policy, num_workers=2, should_stop=should_stop)
    return Stopped.exit_code if plan is None else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
