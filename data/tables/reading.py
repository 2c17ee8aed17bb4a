"""Shards as streams of batches or rows."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import InputError
from data.records import required_columns, schema
from data.tables.names import shards

READ_BUFFER_BYTES = 2**20
ROW_GROUP_BYTES = 2**26
"""Of rows that are held together."""


def open_parquet(path: Path, encoded: Sequence[str] = ()) -> pq.ParquetFile:
    """Open a Parquet file for streaming, or say in a sentence why not.

    Pages are read as they are needed: by default pyarrow would fetch all row groups at once.

    Args:
        path: the file.
        encoded: columns of text to give as dictionary arrays, as they lie in the file.
    """
    with _broken_files_as_input_errors(path):
        return pq.ParquetFile(
            path, pre_buffer=False, buffer_size=READ_BUFFER_BYTES, read_dictionary=encoded
        )


@contextlib.contextmanager
def _broken_files_as_input_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{path} can't be read as Parquet: {error}.",
            "Delete the file and run the stage that writes it again.",
        ) from error


def read_batches(
    path: Path,
    record: type,
    columns: Sequence[str] | None = None,
    batch_size: int = 1024,
    *,
    encoded: Sequence[str] = (),
    use_threads: bool = True,
) -> Iterator[pa.RecordBatch]:
    """Stream a shard in batches of the record's schema.

    Columns that another tool left out read as null; the ones that `record` requires must be there.

    Args:
        path: a finished shard or a part.
        record: the record class whose schema the table has.
        columns: the columns wanted, in this order; all by default.
        batch_size: rows at a time.
        encoded: those of the columns wanted that are to be dictionary arrays, which spares making
            a text for every row.
        use_threads: decode columns side by side; not worth it for narrow columns.

    Raises:
        InputError: no Parquet file, a required column is missing, or a column has another type.
    """
    yield from _stream(
        path, open_parquet(path, encoded), record, columns, batch_size, encoded, None, use_threads
    )


def read_rows_at(
    path: Path, record: type, columns: Sequence[str], rows: npt.NDArray[Any], batch_size: int = 1024
) -> Iterator[tuple[slice, pa.Table]]:
    """Stream some rows of a shard, reading only the row groups that hold one of them.

    Args:
        path: a finished shard.
        record: the record class whose schema the table has.
        columns: the columns wanted, in this order.
        rows: where the rows stand in the table, in ascending order.
        batch_size: rows read and given at a time, about.

    Yields:
        Which of `rows` they are, and these rows.

    Raises:
        InputError: as in `read_batches`.
    """
    file = open_parquet(path)
    footer = file.metadata
    sizes = np.array([footer.row_group(g).num_rows for g in range(footer.num_row_groups)], np.int64)
    group = np.searchsorted(np.cumsum(sizes), rows, side="right")
    groups = np.unique(group)
    passed_over = sizes.copy()
    passed_over[groups] = 0
    place = rows - np.cumsum(passed_over)[group]  # in the stream of the groups that are read
    found: list[pa.RecordBatch] = []
    begin = given = taken = size = 0
    for batch in _stream(
        path, file, record, columns, batch_size, row_groups=groups.tolist(), use_threads=False
    ):
        end = begin + batch.num_rows
        first, taken = taken, int(np.searchsorted(place, end))
        if first < taken:
            found.append(batch.take(pa.array(place[first:taken] - begin)))
            size += found[-1].nbytes
        begin = end
        is_much = taken - given >= batch_size or size >= ROW_GROUP_BYTES
        if found and (is_much or taken == len(rows)):
            yield slice(given, taken), pa.Table.from_batches(found)
            given, size = taken, 0
            found.clear()


def _stream(
    path: Path,
    file: pq.ParquetFile,
    record: type,
    columns: Sequence[str] | None,
    batch_size: int,
    encoded: Sequence[str] = (),
    row_groups: Sequence[int] | None = None,
    use_threads: bool = True,
) -> Iterator[pa.RecordBatch]:
    """The batches of an open file, in the record's schema."""
    present = set(file.schema_arrow.names)
    wanted = [schema(record).field(name) for name in columns or schema(record).names]
    wanted = [
        column.with_type(pa.dictionary(pa.int32(), column.type))
        if column.name in encoded
        else column
        for column in wanted
    ]
    for column in wanted:
        if column.name in required_columns(record) and column.name not in present:
            raise InputError(
                f"{path} has no column {column.name!r}.",
                f"A table of this kind needs {', '.join(required_columns(record))}.",
            )
    target = pa.schema(wanted)
    names = [column.name for column in wanted if column.name in present]
    batches = file.iter_batches(
        batch_size=batch_size, row_groups=row_groups, columns=names, use_threads=use_threads
    )
    while True:
        with _broken_files_as_input_errors(path):
            batch = next(batches, None)
        if batch is None:
            return
        if batch.schema.equals(target):
            yield batch
            continue
        yield pa.RecordBatch.from_arrays(
            [_column(path, batch, column) for column in wanted], schema=target
        )


def _column(path: Path, batch: pa.RecordBatch, column: pa.Field) -> pa.Array:
    if column.name not in batch.schema.names:
        return pa.nulls(batch.num_rows, column.type)
    found = batch.column(column.name)
    if found.type == column.type:
        return found
    try:
        if pa.types.is_dictionary(column.type) and not pa.types.is_dictionary(found.type):
            found = found.cast(column.type.value_type).dictionary_encode()
        return found.cast(column.type)
    except pa.ArrowException as error:
        raise InputError(
            f"Column {column.name!r} of {path} can't be read as {column.type}: {error}.",
            "Write the column with the type that the contract of the table names.",
        ) from error


def read_rows(
    path: Path, record: type, columns: Sequence[str] | None = None, batch_size: int = 256
) -> Iterator[dict[str, Any]]:
    """Stream a shard as dictionaries. Arguments and errors as in `read_batches`."""
    for batch in read_batches(path, record, columns, batch_size):
        yield from batch.to_pylist()


def count_rows(folder: Path) -> int:
    """Rows of the finished shards, from their footers."""
    return sum(map(count_rows_of_part, shards(folder)))


def estimate_rows(folder: Path, samples: Path) -> int:
    """Rows that a table made from samples has when complete, from the shards that are there."""
    found = {path.name: count_rows_of_part(path) for path in shards(folder)}
    of_samples = {path.name: count_rows_of_part(path) for path in shards(samples)}
    covered = sum(number for name, number in of_samples.items() if name in found)
    return round(sum(found.values()) * sum(of_samples.values()) / covered) if covered else 0


def count_rows_of_part(path: Path) -> int:
    """Rows of a part or shard; 0 where it is gone: finished meanwhile, or taken up again."""
    try:
        return int(open_parquet(path).metadata.num_rows)
    except InputError:
        if path.exists():
            raise
        return 0
