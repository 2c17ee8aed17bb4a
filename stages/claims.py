"""Who works on which shard: taking one up, keeping it, letting go of it, and cleaning up after it.

What makes it safe, at any moment and with any number of workers:

- a shard that is to grow or to be redone becomes a part of itself by a rename, which loses nothing;
- who cleans up deletes only what was listed before the finished shard was seen, and nothing while
  another worker has the shard.
"""

import contextlib
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data import tables
from stages import leases
from stages.finished import FinishedShards
from stages.job import Job
from stages.leases import Lease
from stages.parts import parts_folder


class Claims:
    """The shards of a table that this worker has, and those that it could take.

    Args:
        job: the attempt.
        finished: the shards that are there.
    """

    def __init__(self, job: Job, finished: FinishedShards) -> None:
        self.job = job
        self.finished = finished
        self.ours: dict[int, Lease] = {}
        self.settled: set[int] = set()
        """Done and cleaned up. For this attempt they stay so, whatever later ones add to them."""

    def folder(self, index: int) -> Path:
        """Where the parts of a shard and its leases lie."""
        return parts_folder(self.finished.folder, index)

    def is_done(self, index: int) -> bool:
        """Whether a shard is there with nothing to add; what is left of its parts is deleted."""
        if index in self.settled:
            return True
        leftovers = self.list_files(index)
        if not self.finished.has(index):
            return False
        if not leftovers or self.holder(index) is None:
            self.clean(index, leftovers)
            self.settled.add(index)
        return True

    def remaining(self) -> list[int]:
        """The shards that are not done; one listing, and a look at those that are new in it."""
        there = set(tables.shards(self.finished.folder))
        return [
            index
            for index in range(self.finished.count)
            if index not in self.settled
            and not (self.finished.path(index) in there and self.is_done(index))
        ]

    def holder(self, index: int) -> str | None:
        """The worker that has a shard now."""
        holder = leases.holder_of(self.folder(index), self.job.lease_seconds)
        return holder.worker if holder else None

    def claim(self, index: int) -> bool:
        """Take a shard with work left; False where it is done or another worker has it."""
        if index in self.ours or self.is_done(index):
            return False
        lease = leases.claim(self.folder(index), self.job.worker, self.job.lease_seconds)
        if lease is None:
            return False
        try:
            tables.look_anew(self.finished.folder)
            if not self.take_in(index):  # finished while we claimed it
                return False
            for path in self.folder(index).glob(".*.parquet.*"):
                path.unlink(missing_ok=True)  # what a killed worker was writing
        except BaseException:
            lease.give_back()
            raise
        self.ours[index] = lease
        return True

    def take_in(self, index: int) -> bool:
        """Make a part of the shard that lies under the final name of one of ours, if any.

        Its rows stay, whether they are to be joined by others or replaced.

        Returns:
            False where there is nothing to add to it: then it stays, and our files go.
        """
        leftovers = self.list_files(index)
        if self.finished.has(index):
            self.clean(index, leftovers)
            return False
        with contextlib.suppress(FileNotFoundError):
            self.finished.path(index).rename(self.folder(index) / f"{uuid.uuid4().hex}.parquet")
        return True

    def keeps(self, index: int) -> bool:
        """Whether a shard is still ours and not finished; if not, it is let go."""
        lease = self.ours.get(index)
        if lease is None:
            return False
        if lease.is_held() and (not self.finished.path(index).exists() or self.take_in(index)):
            return True
        self.ours.pop(index, None)
        return False

    def give_back(self, index: int) -> None:
        """Let the next worker have a shard at once."""
        if lease := self.ours.pop(index, None):
            lease.give_back()

    def close(self, index: int, leftovers: Iterable[Path]) -> None:
        """Let go of a shard that is finished, and delete what was merged into it."""
        self.ours.pop(index, None)
        self.clean(index, leftovers)

    def list_files(self, index: int) -> list[Path]:
        """What lies about of a shard under way, of killed attempts too."""
        with contextlib.suppress(FileNotFoundError):
            return list(self.folder(index).iterdir())
        return []

    def clean(self, index: int, leftovers: Iterable[Path]) -> None:
        """Delete files of a shard under way, and their folder if that was all."""
        for path in leftovers:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty, or not there
            self.folder(index).rmdir()

    @contextmanager
    def touching(self) -> Iterator[None]:
        """Within the block our leases are touched, whatever the other threads are busy with."""
        ended = threading.Event()

        def touch() -> None:
            while not ended.wait(self.job.lease_seconds / 4):
                for lease in list(self.ours.values()):
                    with contextlib.suppress(OSError):  # the next touch may succeed
                        lease.touch()

        thread = threading.Thread(target=touch, name="leases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
