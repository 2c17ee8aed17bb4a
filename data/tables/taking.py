"""Some rows of a shard, in little memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from data.records import schema
from data.tables.reading import open_parquet, stream

SOUGHT_BYTES = 2**23
SOUGHT_ROWS = 65_536
"""Of rows that are held to take some of them."""
TAKEN_ROWS = 1024


def read_rows_at(
    path: Path, record: type, columns: Sequence[str], rows: npt.NDArray[Any]
) -> Iterator[tuple[slice, pa.Table]]:
    """Stream some rows of a shard, reading only the row groups that hold one of them.

    Some megabytes are held at a time, however long the texts and however large the row groups.

    Args:
        path: a finished shard.
        record: the record class whose schema the table has.
        columns: the columns wanted, in this order.
        rows: where the rows stand in the table, in ascending order.

    Yields:
        Which of `rows` they are, and these rows.

    Raises:
        InputError: as in `read_batches`.
    """
    footer = open_parquet(path).metadata
    sizes = np.array([footer.row_group(g).num_rows for g in range(footer.num_row_groups)], np.int64)
    group = np.searchsorted(np.cumsum(sizes), rows, side="right")
    groups = np.unique(group)
    passed_over = sizes.copy()
    passed_over[groups] = 0
    place = rows - np.cumsum(passed_over)[group]  # in the stream of the groups that are read
    file, encoded, batch_rows = _file_to_take_from(path, record, columns, footer, groups)
    wanted = pa.schema([schema(record).field(name) for name in columns])
    total = int(sizes[groups].sum())
    held: list[pa.RecordBatch] = []
    begin = end = taken = num_bytes = 0
    for batch in stream(
        path, file, record, columns, batch_rows, encoded, groups.tolist(), use_threads=False
    ):
        held.append(batch)
        end += batch.num_rows
        num_bytes += batch.nbytes
        if end - begin >= SOUGHT_ROWS or num_bytes >= SOUGHT_BYTES or end == total:
            last = int(np.searchsorted(place, end))
            table = pa.Table.from_batches(held).combine_chunks()
            for first in range(taken, last, TAKEN_ROWS):
                here = slice(first, min(first + TAKEN_ROWS, last))
                yield here, table.take(pa.array(place[here] - begin)).cast(wanted)
            begin, taken, num_bytes = end, last, 0
            held.clear()


def _file_to_take_from(
    path: Path,
    record: type,
    columns: Sequence[str],
    footer: pq.FileMetaData,
    groups: npt.NDArray[np.int64],
) -> tuple[pq.ParquetFile, list[str], int]:
    """A file of which some row groups are read bit by bit.

    Texts of small row groups are read as they lie in the file, each once for all the rows that have
    it. Of large ones so many rows are read at a time as have a few megabytes.

    Returns:
        The file, its columns that are given as dictionary arrays, and how many rows to read.
    """
    read = [footer.row_group(number) for number in groups]
    if all(group.total_byte_size <= SOUGHT_BYTES for group in read):
        texts = {field.name for field in schema(record) if field.type == pa.string()}
        encoded = [name for name in columns if name in texts.intersection(footer.schema.names)]
        return open_parquet(path, encoded, footer), encoded, SOUGHT_ROWS
    row_bytes = max(group.total_byte_size / group.num_rows for group in read)
    return (
        open_parquet(path, footer=footer),
        [],
        max(1, min(int(SOUGHT_BYTES / row_bytes), SOUGHT_ROWS)),
    )
