"""A training that is left alone, and one that is killed again and again and run again each time.

    python -m tests.stages.training.kills UNDISTURBED RUN POLICY CONFIG SEED [PLACE ...]

Attempts are forks of this process: to import everything takes longer than to train. The stage and
the loop of the ranks are the real ones. In place of `launch` and torchrun, which tests of their own
are about, the attempt forks its ranks; and a kill ends all of its processes at once.
What each kill hit goes to standard output, a line of JSON each.
"""

import functools
import gc
import importlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from stages import train
from stages.job import Job
from stages.training import checkpoint, loop
from stages.training.config import Config
from stages.training.launch import free_port
from stages.training.manifest import Manifest
from tests.stages.training.runs import make_job

ANYWHERE = "anywhere"
ANYWHERE_SECONDS = 1.5
"""From the start of the ranks on."""
SWITCH_SECONDS = 0.0002
"""How long the thread that kills may wait for the other."""
SPANS = {
    "export._phases": 0.05,
    "checkpoint.load": 0.002,
    "checkpoint.move_into_place": 0.0005,
    "checkpoint.prune": 0.0005,
}
"""Seconds after a function was called within which the kill comes; 0.01 for others."""
REPEATED = ("trainer.Trainer.accumulate", "trainer.Trainer.step", "checkpoint.save")
"""Functions that may be let pass a few times first."""
OURS = Path(train.__file__).parent


@dataclass(frozen=True)
class Moment:
    """When the kill comes."""

    place: str
    passes: int
    """How often the function is let pass before."""
    delay: float

    @classmethod
    def draw(cls, place: str, rng: random.Random) -> "Moment":
        passes = rng.randint(1, 3) if place in REPEATED else 0
        span = ANYWHERE_SECONDS if place == ANYWHERE else SPANS.get(place, 0.01)
        return cls(place, passes, rng.uniform(0, span))


def stack(frame: FrameType | None) -> list[str]:
    """Functions of the stages that a thread is in, the outermost first, as `file.function`."""
    names = []
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(OURS):
            names.append(f"{path.stem}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return names[::-1]


def lie_in_wait(moment: Moment, hit: Path) -> None:
    """Kill this process and all others of its attempt when the main thread gets there."""
    main, process = threading.main_thread().ident, os.getpid()
    assert main is not None
    passes = moment.passes

    def kill() -> None:
        time.sleep(moment.delay)
        with hit.open("x") as file:
            file.write(json.dumps(stack(sys._current_frames().get(main))))
        os.killpg(0, signal.SIGKILL)

    sys.setswitchinterval(SWITCH_SECONDS)
    if moment.place == ANYWHERE:
        threading.Thread(target=kill, daemon=True).start()
        return
    owner, name, function = find(moment.place)

    @functools.wraps(function)
    def called(*arguments: Any, **options: Any) -> Any:
        nonlocal passes
        passes -= 1
        if passes == -1 and os.getpid() == process:  # a rank has one of its own
            threading.Thread(target=kill, daemon=True).start()
        return function(*arguments, **options)

    setattr(owner, name, called)


def find(place: str) -> tuple[Any, str, Callable[..., Any]]:
    """The module or class that has a function, its name there, and the function."""
    module, *classes, name = place.split(".")
    owner: Any = importlib.import_module(f"stages.training.{module}")
    for each in classes:
        owner = getattr(owner, each)
    return owner, name, getattr(owner, name)


def run_ranks(task: Path, num_ranks: int, log: Path, moment: Moment | None, hit: Path) -> None:
    """What `launch` does: start ranks, and wait for them."""
    port, (theirs, ours) = free_port(), os.pipe()
    ranks = []
    for rank in range(num_ranks):
        if pid := os.fork():
            ranks.append(pid)
            continue
        place = {"RANK": rank, "LOCAL_RANK": rank, "MASTER_PORT": port, "MASTER_ADDR": "127.0.0.1"}
        place |= {"WORLD_SIZE": num_ranks, "LOCAL_WORLD_SIZE": num_ranks}
        os.environ.update({name: str(value) for name, value in place.items()})
        os.dup2(theirs, 0)
        os.close(ours)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if moment is not None and rank == 0:
            lie_in_wait(moment, hit)
        leave(lambda: loop.main(task))
    assert [os.waitpid(pid, 0)[1] for pid in ranks] == [0] * num_ranks, log.read_text()
    os.close(theirs)
    os.close(ours)


def leave(work: Callable[[], object]) -> None:
    """Do this process's work, and end it."""
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def attempt(run_dir: Path, policy: Path, config: Config, moment: Moment | None) -> dict[str, Any]:
    """Run the command in a process group of its own, and kill it at a moment.

    Returns:
        The functions that it was in then, and what lay in the folder of checkpoints.
    """
    hit = run_dir / "hit.json"
    hit.unlink(missing_ok=True)

    def launch(
        job: Job, task: Path, *, num_ranks: int, progress: Path, log: Path, **_: object
    ) -> None:
        for path in (progress, log):
            path.parent.mkdir(exist_ok=True)
        run_ranks(task, num_ranks, log, moment, hit)

    if pid := os.fork():
        status = os.waitpid(pid, 0)[1]
        assert os.WIFSIGNALED(status) if moment else status == 0, (status, moment)
        if moment is None:
            return {}
        names = sorted(path.name for path in (run_dir / "checkpoints").iterdir())
        return {"struck": json.loads(hit.read_text()), "left": names}
    os.setsid()
    train.launch = launch
    if moment is not None and moment.place != ANYWHERE:
        lie_in_wait(moment, hit)
    leave(lambda: train.run(make_job(run_dir, policy, config), config))
    raise AssertionError("it has ended")


def main(
    undisturbed: Path, run_dir: Path, policy: Path, config: Config, seed: str, places: list[str]
) -> None:
    gc.freeze()  # or each fork copies, and looks through, all that was imported
    attempt(undisturbed, policy, config, None)
    rng = random.Random(seed)
    for place in places:
        found = attempt(run_dir, policy, config, Moment.draw(place, rng))
        print(json.dumps(found), flush=True)
        checkpoints = run_dir / "checkpoints"
        assert not (checkpoints / checkpoint.FINAL).exists()
        for path in checkpoint.steps(checkpoints):
            manifest = Manifest.load(path)
            assert manifest is not None and not manifest.damage(path), "it is not whole"
    attempt(run_dir, policy, config, None)


if __name__ == "__main__":
    run, other, model, settings, drawn, *of = sys.argv[1:]
    main(Path(run), Path(other), Path(model), Config.model_validate_json(settings), drawn, of)
