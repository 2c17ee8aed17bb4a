"""Three workers on one table, killed and frozen at random; and a disk that runs full.

With the transformers engine on the CPU the rows then equal those of an undisturbed run.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from data import tables
from data.records import Caption
from tests.command import result_of, sophia
from tests.sophia_cli.nursery import SETTINGS

NUM_WORKERS = 3
NUM_SHARDS = 15
NUM_KILLS = 40
LEASE_SECONDS = 1.5
SETTING_OPTIONS = [option for setting in SETTINGS for option in ("--set", setting)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The captions of 90 samples."""
    run = tmp_path_factory.mktemp("chaos") / "undisturbed"
    result_of(
        "ingest", "world:train", "--run", run, "--limit", "90", "--num-shards", str(NUM_SHARDS)
    )
    result_of("caption", "--run", run, *SETTING_OPTIONS)
    return run


def content(run: Path) -> list[dict[str, Any]]:
    return [
        row for path in tables.shards(run / "captions") for row in tables.read_rows(path, Caption)
    ]


def copy_of(undisturbed: Path, run: Path) -> Path:
    shutil.copytree(undisturbed / "samples", run / "samples")
    return run


class Nursery:
    """Starts workers, and knows which of them still live."""

    def __init__(self, run: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.sophia_cli.nursery", str(run), str(LEASE_SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._line() == "ready"
        self.workers: set[int] = set()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def start(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        worker = int(self._line())
        self.workers.add(worker)
        return worker

    def alive(self) -> list[int]:
        self.workers = {worker for worker in self.workers if psutil.pid_exists(worker)}
        return sorted(self.workers)

    def end(self) -> None:
        for worker in self.alive():
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        self.process.kill()
        self.process.wait()


@pytest.mark.timeout(900)
def test_forty_kills_and_a_freeze(undisturbed: Path, tmp_path: Path) -> None:
    """A fast machine completes the table before the last kill: then on with another one."""
    rng = random.Random(0)
    kills, frozen, runs = 0, 0, 0
    while kills < NUM_KILLS or not frozen:
        run = copy_of(undisturbed, tmp_path / f"run-{runs}")
        done = disturb(run, rng, NUM_KILLS - kills, freeze=not frozen)
        kills, frozen, runs = kills + done[0], frozen + done[1], runs + 1
        outcome = result_of("caption", "--run", run, *SETTING_OPTIONS)["caption"]
        assert (outcome["complete"], outcome["rows"]) == (True, 270)
        assert content(run) == content(undisturbed)
        assert not list((run / "captions").glob(".parts/*/*"))
        assert runs < 10, f"{kills} kills, {frozen} frozen"


def disturb(run: Path, rng: random.Random, max_kills: int, freeze: bool) -> tuple[int, int]:
    """Kill workers, and freeze one past its lease, until the table is there: (kills, frozen)."""
    nursery = Nursery(run)
    frozen, kills = None, 0
    try:
        while (kills < max_kills or (freeze and not frozen)) and num_finished(run) < NUM_SHARDS:
            while len(nursery.alive()) < NUM_WORKERS:
                nursery.start()
            time.sleep(rng.uniform(0.1, 1.0))
            victims = [worker for worker in nursery.alive() if worker != frozen]
            holders = [worker for worker in victims if holds_a_lease(run, worker)]
            if freeze and frozen is None and holders:
                frozen = rng.choice(holders)
                os.kill(frozen, signal.SIGSTOP)
            elif victims and kills < max_kills:
                with suppress(ProcessLookupError):  # it ended by itself meanwhile
                    os.kill(rng.choice(victims), signal.SIGKILL)
                    kills += 1
        if frozen is not None:
            time.sleep(LEASE_SECONDS)
            os.kill(frozen, signal.SIGCONT)  # past its lease
        while nursery.alive():
            time.sleep(0.2)
    finally:
        nursery.end()
    return kills, int(frozen is not None)


def num_finished(run: Path) -> int:
    return len(tables.shards(run / "captions"))


def holds_a_lease(run: Path, worker: int) -> bool:
    leases = run.glob("captions/.parts/*/lease-*")
    return any(f'"pid": {worker},' in lease.read_text() for lease in leases)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own."""
    folder.mkdir()
    become_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    mount = [*become_root, "mount", "-t", "tmpfs", "-o", "size=8m,mode=777", "tmpfs", folder]
    subprocess.run(mount, check=True)
    try:
        yield folder
    finally:
        subprocess.run([*become_root, "umount", "--lazy", folder], check=True)


@pytest.mark.timeout(300)
def test_a_full_disk_is_a_stop(undisturbed: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        run = copy_of(undisturbed, disk / "run")
        usage = shutil.disk_usage(disk)
        filler = disk / "filler"
        filler.write_bytes(bytes(usage.free - 60_000))
        done = sophia("caption", "--run", run, *SETTING_OPTIONS)
        assert done.returncode == 75, done.stderr
        assert "no room left" in done.stderr and "Traceback" not in done.stderr
        filler.unlink()
        result_of("caption", "--run", run, *SETTING_OPTIONS)
        assert content(run) == content(undisturbed)
