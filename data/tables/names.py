"""A table's shards: their names, and which are there."""

import re
from pathlib import Path

from data.errors import InputError

SHARD_NAME = re.compile(r"part-(\d{5})-of-(\d{5})\.parquet")


def shard_path(folder: Path, index: int, count: int) -> Path:
    """The name of a shard, such as `folder/part-00003-of-00016.parquet`."""
    return folder / f"part-{index:05d}-of-{count:05d}.parquet"


def shard_index(path: Path) -> int:
    """The 3 of `part-00003-of-00016.parquet`."""
    return int(path.name[5:10])


def shards(folder: Path) -> list[Path]:
    """The finished shards of a table, in order; an empty list where there is none."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if SHARD_NAME.fullmatch(path.name))


def shard_count(folder: Path) -> int:
    """How many shards the table has when complete.

    Raises:
        InputError: the folder holds no shard, or shards of two different counts.
    """
    counts = {int(SHARD_NAME.fullmatch(path.name)[2]) for path in shards(folder)}  # type: ignore[index]
    if not counts:
        raise InputError(
            f"{folder} holds no table.",
            "Run the stage that writes it first, or check --run.",
        )
    if len(counts) > 1:
        raise InputError(
            f"{folder} mixes shards of tables with {sorted(counts)} shards.",
            "Keep the files of one table only.",
        )
    return counts.pop()


def is_complete(folder: Path) -> bool:
    """Whether every shard of the table is there."""
    return bool(found := shards(folder)) and len(found) == shard_count(folder)


def look_anew(folder: Path) -> None:
    """Have a network file system forget what it remembers of a folder.

    It may go on saying for a minute that a file is not there which another machine has just made;
    after a change of our own it asks the server again.
    """
    mark = folder / ".look"
    mark.touch()
    mark.unlink(missing_ok=True)
