"""Several workers of one stage on this machine, each an engine of its own on its share of the GPUs.

They are the same command started several times: they share the shards as workers on different
machines do, and know nothing of each other.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from data.errors import ConfigError, Stopped
from sophia_cli.console import err
from sophia_cli.execute import TOO_MANY_ERRORS
from sophia_cli.signals import stop_on_signal

OPTION = "--num-workers"
DEVICES = "CUDA_VISIBLE_DEVICES"
POLL_SECONDS = 0.2


def run_workers(number: int) -> int:
    """Run this very command as several workers.

    Returns:
        The exit code: 0 if one of them found the table complete.

    Raises:
        ConfigError: the GPUs can't be shared evenly.
    """
    shares = share_devices(visible_devices(), number)
    arguments = without_option(sys.argv[1:])
    with stop_on_signal(lambda text: err.print(text, style="dim", markup=False)) as should_stop:
        workers = [_Worker(arguments, f"w{index}", devices) for index, devices in enumerate(shares)]
        told = False
        while any(worker.process.poll() is None for worker in workers):
            if should_stop() and not told:
                told = True
                for worker in workers:
                    worker.process.terminate()
            time.sleep(POLL_SECONDS)
    codes = [worker.process.wait() for worker in workers]
    code = joint_exit_code(codes, is_stopped=told)
    speaker = workers[codes.index(code) if code in codes else 0]
    speaker.listener.join()
    sys.stdout.write("".join(speaker.said))
    return code


def joint_exit_code(codes: Sequence[int], *, is_stopped: bool = False) -> int:
    """What the workers' exit codes come to: a table is complete if one of them says so.

    Args:
        codes: of the workers; negative where a signal ended one.
        is_stopped: everything was to stop, which may end a worker before it can say 75.
    """
    for code in (0, TOO_MANY_ERRORS):
        if code in codes:
            return code
    if is_stopped:
        return Stopped.exit_code
    failures = [code for code in codes if code != Stopped.exit_code]
    return max(1, failures[0]) if failures else Stopped.exit_code


def share_devices(devices: Sequence[str], number: int) -> list[Sequence[str]]:
    """Split GPUs into groups that follow each other; without GPUs the groups are empty.

    Raises:
        ConfigError: there are more workers than GPUs, or one would get fewer than another.
    """
    if devices and len(devices) % number:
        raise ConfigError(
            f"{len(devices)} GPUs can't be shared by {number} workers.",
            f"Give {OPTION} a number that divides them, or set {DEVICES}.",
        )
    size = len(devices) // number
    return [devices[index * size : (index + 1) * size] for index in range(number)]


def visible_devices() -> list[str]:
    """The GPUs this process may use, by the names CUDA has for them."""
    if (listed := os.environ.get(DEVICES)) is not None:
        return [name.strip() for name in listed.split(",") if name.strip()]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def without_option(arguments: Sequence[str]) -> list[str]:
    """The command line of one worker."""
    kept = []
    rest = iter(arguments)
    for argument in rest:
        if argument == OPTION:
            next(rest, None)
        elif not argument.startswith(f"{OPTION}="):
            kept.append(argument)
    return kept


class _Worker:
    """A worker whose progress comes out line by line, with its name in front."""

    def __init__(self, arguments: Sequence[str], name: str, devices: Sequence[str]) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sophia_cli", *arguments],
            env=os.environ | ({DEVICES: ",".join(devices)} if devices else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()
        threading.Thread(target=self._repeat, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        self.said.extend(self.process.stdout)

    def _repeat(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            err.print(f"{self.name}: {line.rstrip()}", markup=False)
