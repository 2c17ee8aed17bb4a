"""Ranks that stay, for one training after the other: to start them takes longer than to train.

    torchrun --standalone --nproc-per-node N -m tests.stages.training.standing FOLDER

What they do next lies in FOLDER/0.json, FOLDER/1.json, ...; FOLDER/0.done says that it is done.
How ranks start, stop and die is for tests of the real `launch`.
"""

import importlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from data.errors import EngineError
from stages import train
from stages.job import Job
from stages.training.failure import why_failed
from stages.training.launch import environment

LOOP = "stages.training.loop"
POLL_SECONDS = 0.02


@dataclass
class Ranks:
    """So many ranks, started when they are first needed."""

    num_ranks: int
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None
    orders: Iterator[int] = field(default_factory=itertools.count)

    def run(self, module: str, *arguments: Any) -> None:
        """Have each of them call a module's `main`, with paths for what is a text."""
        if self.process is None:
            self.start()
        assert self.process is not None
        number = next(self.orders)
        order, done = (self.folder / f"{number}.{suffix}" for suffix in ("json", "done"))
        unfinished = order.with_suffix(".unfinished")
        unfinished.write_text(json.dumps([module, *arguments], default=str))
        unfinished.rename(order)
        while not done.exists():
            if (failed := order.with_suffix(".failed")).exists():
                raise EngineError(f"Training failed: {failed.read_text()}.", "Its ranks stay.")
            if (code := self.process.poll()) is not None:
                self.process = None
                raise why_failed(self.folder / "log", code)
            time.sleep(POLL_SECONDS)

    def start(self) -> None:
        self.folder = self.folder.with_name(f"{self.folder.name}-again")
        self.folder.mkdir(parents=True)
        self.orders = itertools.count()
        ranks = [f"--nproc-per-node={self.num_ranks}", "-m", __name__, str(self.folder)]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "torch.distributed.run", "--standalone", *ranks],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(self.num_ranks),
            )

    def end(self) -> None:
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait()


class Standing:
    """Ranks, as many as are asked for."""

    def __init__(self, folder: Path) -> None:
        self.ranks = {number: Ranks(number, folder / f"{number}-ranks") for number in (1, 2)}

    def run(self, num_ranks: int, module: str, *arguments: Any) -> None:
        self.ranks[num_ranks].run(module, *arguments)

    def launch(
        self,
        job: Job,
        task: Path,
        *,
        num_ranks: int,
        progress: Path,
        module: str = LOOP,
        **_: object,
    ) -> None:
        """What `launch` does, by ranks that are there."""
        progress.parent.mkdir(parents=True, exist_ok=True)
        self.run(num_ranks, module, str(task))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block, training takes these ranks."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train, "launch", self.launch)
            yield

    def end(self) -> None:
        for ranks in self.ranks.values():
            ranks.end()


def main(folder: Path) -> None:
    from torch import distributed

    from stages.training.loop import start_distributed

    threading.Thread(target=_end_with_the_tests, daemon=True).start()
    start_distributed()
    for number in itertools.count():
        order = folder / f"{number}.json"
        while not order.exists():
            time.sleep(POLL_SECONDS)
        module, *arguments = json.loads(order.read_text())
        paths = (Path(each) if isinstance(each, str) else each for each in arguments)
        try:
            importlib.import_module(module).main(*paths)
        except Exception as error:
            if distributed.get_world_size() > 1:
                raise  # the others wait for it
            unfinished = order.with_suffix(".unfinished")
            unfinished.write_text(f"{type(error).__name__}: {error}")
            unfinished.rename(order.with_suffix(".failed"))
            continue
        distributed.barrier()
        order.with_suffix(".done").touch()


def _end_with_the_tests() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
