"""Which shards of a table are finished as they are wanted now, and what they hold.

A file under a final name is never rewritten, so each is opened once: after that a look at it is one
`stat`, which matters where many workers look at many shards over a network.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data import tables
from data.errors import InputError
from stages.identity import differs
from stages.job import Job
from stages.parts import has_rows_to_redo


def no_shard(index: int) -> bool:
    """Say no of every shard."""
    return False


@dataclass(frozen=True)
class _Seen:
    """What a file was found to be."""

    stamp: tuple[int, int, int]
    """Tells the file from another of the same name."""
    is_done: bool
    """There is nothing to add to it or to make again."""
    rows: int
    errors: int


class FinishedShards:
    """The finished shards of a table.

    Args:
        job: the attempt.
        record: the record class of the rows.
        folder: the table.
        count: its number of shards.
        is_short: whether a shard that is there, by its index, lacks rows.

    Raises:
        RefusedError: one was made with other settings or inputs.
    """

    def __init__(
        self,
        job: Job,
        record: type,
        folder: Path,
        count: int,
        is_short: Callable[[int], bool] = no_shard,
    ) -> None:
        self.job = job
        self.record = record
        self.folder = folder
        self.count = count
        self.is_short = is_short
        self.seen: dict[Path, _Seen] = {}
        for path in tables.shards(folder):
            self._look(path)

    def path(self, index: int) -> Path:
        """Where a shard goes."""
        return tables.shard_path(self.folder, index, self.count)

    def has(self, index: int) -> bool:
        """Whether a shard is there, with nothing to add to it or to make again.

        Raises:
            RefusedError: it was made with other settings or inputs.
        """
        found = self._look(self.path(index))
        return found is not None and found.is_done

    def _look(self, path: Path) -> _Seen | None:
        try:
            status = path.stat()
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if path not in self.seen or self.seen[path].stamp != stamp:
                self.seen[path] = self._read(path, stamp)
        except FileNotFoundError:
            return None
        except InputError:
            if path.exists():
                raise
            return None  # another worker has just begun to add to it
        return self.seen[path]

    def _read(self, path: Path, stamp: tuple[int, int, int]) -> _Seen:
        metadata = tables.read_metadata(path)
        if metadata is None:  # of another tool
            return _Seen(stamp, True, tables.count_rows_of_part(path), 0)
        waits = (
            differs(path, metadata, self.job.metadata, self.job.redo)
            or has_rows_to_redo(self.job, self.record, path, metadata)
            or self.is_short(tables.shard_index(path))
        )
        return _Seen(stamp, not waits, metadata.num_rows, metadata.num_errors)

    def totals(self) -> tuple[int, int]:
        """Rows and errors of the shards that are there."""
        found = [seen for path in tables.shards(self.folder) if (seen := self._look(path))]
        return sum(seen.rows for seen in found), sum(seen.errors for seen in found)
