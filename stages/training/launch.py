"""Start the ranks, pass their progress on, and have them stop when the command is asked to."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from data.errors import ConfigError, Stopped
from stages.job import Job
from stages.training.failure import why_failed

POLL_SECONDS = 0.2
LOCK_SECONDS = 60.0
"""How long the ranks of an attempt that was killed may take to end."""
PATIENCE_MINUTES = 60
"""How long ranks wait for the slowest of them, to load or save its part, before all give up.
DeepSpeed's own 10 minutes are few for large models on a busy file system."""
NOT_FOR_RANKS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
"""They mean a stop to the command, which passes it on. Slurm may send them to every process of a
job; torchrun would end the ranks before their checkpoint. The ranks wait for them in a thread."""
ALREADY_SHOWN = "tokens_per_second"
"""Of the figures of a step: every report has it."""


def launch(
    job: Job,
    task: Path,
    *,
    num_ranks: int,
    num_nodes: int = 1,
    progress: Path,
    log: Path,
    lock: int,
    module: str = "stages.training.loop",
    num_steps: int = 0,
) -> None:
    """Run the loop to its end, or to the checkpoint at which it stops.

    It is to stop behind a step where the next one is not likely to be done in time.

    Args:
        job: the attempt; its `should_stop` is passed on to the ranks.
        task: file that tells the ranks what to do.
        num_ranks: how many, on each node.
        num_nodes: nodes of the Slurm job, of which this is the first one.
        progress: where rank 0 writes a line of JSON per step.
        log: where their output goes.
        lock: the descriptor that `alone` gave; torchrun holds it as long as there are ranks.
        module: what the ranks run, if not the loop.
        num_steps: of the training; behind the last one the policy is exported.

    Raises:
        SophiaError: a rank failed; an error of ours as it was raised there, else an EngineError.
    """
    for path in (progress, log):
        path.parent.mkdir(parents=True, exist_ok=True)
    progress.touch()
    with log.open("ab") as output, blocked(NOT_FOR_RANKS):
        ranks = subprocess.Popen(
            command(task, num_ranks, module, num_nodes),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(num_ranks),
            pass_fds=(lock,),
            bufsize=0,  # so that closing has nothing to write to ranks that have ended
            start_new_session=True,  # a Ctrl-C in the terminal is the command's to deal with
        )
    assert ranks.stdin is not None
    try:
        _follow(job, ranks, ranks.stdin, progress, num_steps)
    finally:
        ranks.stdin.close()  # the ranks end with it
        code = ranks.wait()
    if code:
        raise why_failed(log, code)


def command(task: Path, num_ranks: int, module: str, num_nodes: int = 1) -> list[str]:
    """The torchrun command line; for several nodes, srun's, which runs it on each of them."""
    ranks = [f"--nproc-per-node={num_ranks}", "-m", module, str(task)]
    if num_nodes == 1:
        return [sys.executable, "-m", "torch.distributed.run", "--standalone", *ranks]
    # The ranks of all nodes meet on this one, the first of the job.
    first, port = os.environ.get("MASTER_ADDR") or socket.gethostname(), free_port()
    srun = ["srun", f"--nodes={num_nodes}", f"--ntasks={num_nodes}", "--ntasks-per-node=1"]
    if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):
        srun.append(f"--cpus-per-task={cpus}")  # since 22.05 it is not taken from the job
    meet = [f"--nnodes={num_nodes}", f"--master-addr={first}", f"--master-port={port}"]
    node = [sys.executable, "-m", "stages.training.node"]
    # A node whose ranks have ended must not cut off the one that still writes the policy.
    return [*srun, "--kill-on-bad-exit=1", "--wait=0", *node, *meet, *ranks]


def require_nodes(num_nodes: int) -> None:
    """Look whether this is a Slurm job of so many nodes.

    Raises:
        ConfigError: it is not.
    """
    nodes = os.environ.get("SLURM_JOB_NUM_NODES", "1")
    if num_nodes > 1 and nodes != str(num_nodes):
        raise ConfigError(
            f"train.num_nodes = {num_nodes} needs a Slurm job of as many nodes, and there "
            f"{'is one' if nodes == '1' else f'are {nodes}'} here.",
            "Start it with `sophia slurm train` (to reshard, in `salloc --nodes=...`), or set "
            "train.num_nodes = 1.",
        )


def require_devices(num_ranks: int) -> None:
    """Look whether every rank of this machine has a GPU of its own, where there are any.

    Args:
        num_ranks: that are to run here.

    Raises:
        ConfigError: there are fewer GPUs.
    """
    import torch

    there = torch.cuda.device_count()
    if there and num_ranks > there:
        raise ConfigError(
            f"train.num_ranks = {num_ranks}, and {socket.gethostname()} has {there} GPUs.",
            f"Set train.num_ranks to {there} or fewer.",
        )


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(num_ranks: int) -> dict[str, str]:
    """The ranks' environment: this one, with this package and the machine's cores shared out.

    Threads that wait do not spin: beside any other busy process, spinning slows small models down
    tenfold.
    """
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    threads = max(1, len(os.sched_getaffinity(0)) // num_ranks)
    defaults = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    defaults["DEEPSPEED_TIMEOUT"] = str(PATIENCE_MINUTES)
    return {**defaults, **os.environ, "PYTHONPATH": path}


@contextmanager
def alone(folder: Path, should_stop: Callable[[], bool]) -> Iterator[int]:
    """Hold a run's training, so that a second command does not train it at the same time.

    Args:
        folder: of the run's checkpoints.
        should_stop: turns true when it is time to stop waiting for the other command's end.

    Yields:
        The descriptor of the lock.

    Raises:
        Stopped: another command does.
        ConfigError: the file system has no locks.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline or should_stop():
                    raise Stopped(
                        f"Another command is training into {folder}.",
                        "Run this one again when that one has ended.",
                    ) from None
                time.sleep(POLL_SECONDS)
            except OSError as error:
                raise ConfigError(
                    f"The file system of {folder} can't be locked ({error.strerror}), so that two "
                    "commands might train there at once.",
                    "Mount it with locks (Lustre: -o flock); or, if only one machine ever starts "
                    f"this training, make {lock.name} a link to a file on a local disk.",
                ) from error
        yield lock.fileno()


@contextmanager
def blocked(signals: Collection[signal.Signals]) -> Iterator[None]:
    """Processes started within the block, and theirs, never see these signals."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow(
    job: Job, ranks: "subprocess.Popen[bytes]", orders: IO[bytes], progress: Path, num_steps: int
) -> None:
    told, start = False, 0
    figures: dict[str, float] = {}
    job.report.watch(lambda: figures)
    while True:
        ended = ranks.poll() is not None
        start, step = _report(job, progress, start, figures)
        if ended:
            return
        # Asked between steps alone: one that is under way would be given up.
        is_late = step is not None and step < num_steps and not job.budget.admits()
        if not told and (is_late or job.should_stop()):
            if is_late:
                job.report.note(f"stopping behind step {step}: there is no time for another one")
            with suppress(BrokenPipeError):  # they ended just now
                orders.write(b"stop\n")
            told = True
        time.sleep(POLL_SECONDS)


def _report(
    job: Job, progress: Path, start: int, figures: dict[str, float]
) -> tuple[int, int | None]:
    """Report the steps written since; returns where the next ones begin, and the newest of them."""
    newest = None
    if not progress.exists():
        return start, newest
    with progress.open("rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                break
            step = json.loads(line)
            newest = step["step"]
            if step["note"]:
                job.report.note(step["note"])
            figures.update(
                {name: step["meters"][name] for name in step["meters"] if name != ALREADY_SHOWN}
            )
            job.report.advance(rows=1, tokens=step["tokens"])
            job.budget.note(step["seconds"])
            start += len(line)
    return start, newest
