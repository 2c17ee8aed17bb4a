"""Which worker has a shard: leases as plain files, safe wherever workers share a folder.

The leases of a shard are files `lease-000001`, `lease-000002`, ... in one folder; the highest
number holds. A worker takes the next number by linking it, which only one can; keeps it by touching
it; and gives it back by dating it to 1970. A lease that nobody touched for long enough, by the
clock of the file server, may be followed by the next number. There is no lock, no server and no
database.

A worker that was frozen past its time sees the higher number before it writes. What slips through
between that look and the write does no harm: a key that is there twice is merged into one row, and
a finished shard is never replaced (`shard.py`).
"""

import contextlib
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

NAME = re.compile(r"lease-(\d{6})")
GIVEN_BACK = (0.0, 0.0)
CLOCK_SECONDS = 20.0
"""How long a look at the file server's clock is good for."""

_clocks: dict[Path, tuple[float, float]] = {}
"""Table -> when we looked, by our steady clock, and what the server's clock is ahead of it."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who wrote a lease."""

    worker: str
    host: str
    """Names a machine, its boot, and the process table that `pid` is of."""
    pid: int
    started: float
    """When the process was created, in ticks since the boot: numbers of processes come round again.
    (In seconds since 1970 it would change whenever the machine's clock is set.)"""
    token: str = ""
    """Unique to the lease."""

    @classmethod
    def ours(cls, worker: str) -> "Holder":
        """This process, under the name its worker has."""
        pid = os.getpid()
        return cls(worker=worker, host=_host(), pid=pid, started=_started(pid) or 0.0)

    def is_known_dead(self) -> bool:
        """Whether it ran here and runs no more; False where that can't be told."""
        return self.host == _host() and _started(self.pid) != self.started


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A shard that is ours, for as long as we touch it in time."""

    path: Path
    token: str

    def is_held(self) -> bool:
        """Whether it is still ours: it is there, and nobody took the next number."""
        newest = _newest(self.path.parent)
        holder = _read(self.path)
        return newest == self.path and holder is not None and holder.token == self.token

    def touch(self) -> None:
        """Say that we are alive."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path)

    def give_back(self) -> None:
        """Let the next worker have the shard at once."""
        if self.is_held():
            with contextlib.suppress(FileNotFoundError):
                os.utime(self.path, GIVEN_BACK)


def claim(folder: Path, worker: str, seconds: float) -> Lease | None:
    """Take a shard if it is free.

    Args:
        folder: where its leases lie; made if it is not there.
        worker: our name.
        seconds: a lease that was not touched for longer is given up for lost.

    Returns:
        The lease, or None where another worker has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    newest = _newest(folder)
    if newest is not None and not _is_free(newest, seconds):
        return None
    number = 1 + (int(newest.name.removeprefix("lease-")) if newest else 0)
    ours = Holder.ours(worker)
    lease = Lease(path=folder / f"lease-{number:06d}", token=uuid.uuid4().hex)
    # FileExistsError: another worker was first; FileNotFoundError: it has finished the shard. Or
    # we were first, and the server's answer was lost: who has the lease is what stands in it.
    with (
        contextlib.suppress(FileExistsError, FileNotFoundError),
        _file_with(folder, json.dumps(vars(ours) | {"token": lease.token})) as temporary,
    ):
        os.link(temporary, lease.path)
    holder = _read(lease.path)
    return lease if holder is not None and holder.token == lease.token else None


def holder_of(folder: Path, seconds: float) -> Holder | None:
    """Who has a shard; None where it is free."""
    newest = _newest(folder)
    if newest is None or _is_free(newest, seconds):
        return None
    return _read(newest)


def leases(folder: Path) -> list[Path]:
    """All leases of a shard, in order."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))


def _newest(folder: Path) -> Path | None:
    return found[-1] if (found := leases(folder)) else None


def _is_free(lease: Path, seconds: float) -> bool:
    """Whether a lease was given back, has run out, or its holder is known to be dead."""
    now = _now(lease.parent)  # first: were we frozen in between, it would look too old
    try:
        with lease.open() as file:
            # Opened, not only looked at: a network file system may answer `stat` from its cache.
            touched = os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return True
    if touched == GIVEN_BACK[1]:
        return True
    holder = _read(lease)
    if holder is not None and holder.is_known_dead():
        return True
    return now - touched > seconds


def _read(lease: Path) -> Holder | None:
    try:
        return Holder(**json.loads(lease.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _now(folder: Path) -> float:
    """The time by the clock that also dates the leases, not later than it is."""
    table = folder.parent
    looked, ahead = _clocks.get(table, (0.0, 0.0))
    if table not in _clocks or time.monotonic() - looked > CLOCK_SECONDS:
        try:
            with _file_with(folder, "") as probe:
                ahead = probe.stat().st_mtime - time.monotonic()
        except FileNotFoundError:  # the shard was finished, and its folder is gone
            return 0.0
        _clocks[table] = (time.monotonic(), ahead)
    return time.monotonic() + ahead


@contextlib.contextmanager
def _file_with(folder: Path, content: str) -> Iterator[Path]:
    path = folder / f".{uuid.uuid4().hex}"
    try:
        path.write_text(content)
        yield path
    finally:
        path.unlink(missing_ok=True)


@cache
def _host() -> str:
    """Containers may share a name without seeing each other's processes."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _started(pid: int) -> float | None:
    """When a process was created; None where there is none, or only its remains."""
    try:
        # Behind the program's name, which may hold anything: the state, and 18 fields on the start.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else float(fields[19])
