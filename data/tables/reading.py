"""Shards as streams of batches or rows."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import InputError
from data.records import required_columns, schema
from data.tables.names import shards

READ_BUFFER_BYTES = 2**20
ROW_GROUP_BYTES = 2**26
"""Of rows that are held together."""


def open_parquet(
    path: Path, encoded: Sequence[str] = (), footer: pq.FileMetaData | None = None
) -> pq.ParquetFile:
    """Open a Parquet file for streaming, or say in a sentence why not.

    Pages are read as they are needed: by default pyarrow would fetch all row groups at once.

    Args:
        path: the file.
        encoded: columns of text to give as dictionary arrays, as they lie in the file.
        footer: the file's, where it has been read already.
    """
    with _broken_files_as_input_errors(path):
        return pq.ParquetFile(
            path,
            metadata=footer,
            pre_buffer=False,
            buffer_size=READ_BUFFER_BYTES,
            read_dictionary=encoded,
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
    yield from stream(
        path, open_parquet(path, encoded), record, columns, batch_size, encoded, None, use_threads
    )


def stream(
    path: Path,
    file: pq.ParquetFile,
    record: type,
    columns: Sequence[str] | None,
    batch_size: int,
    encoded: Sequence[str] = (),
    row_groups: Sequence[int] | None = None,
    use_threads: bool = True,
) -> Iterator[pa.RecordBatch]:
    """The batches of an open file, in the record's schema. Arguments as in `read_batches`."""
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
    groups = range(file.num_row_groups) if row_groups is None else row_groups
    nothing = set(_null_columns(file.metadata, groups, names))
    names = [name for name in names if name not in nothing] or names
    batches = file.iter_batches(
        batch_size=batch_size, row_groups=row_groups, columns=names, use_threads=use_threads
    )
    with _broken_files_as_input_errors(path):
        for batch in batches:
            if names == target.names and batch.schema.equals(target):
                yield batch
            else:
                columns = [_column(path, batch, column) for column in wanted]
                yield pa.RecordBatch.from_arrays(columns, schema=target)


def _null_columns(
    footer: pq.FileMetaData, row_groups: Sequence[int], names: Sequence[str]
) -> Iterator[str]:
    """Which columns say of themselves that there is nothing in them: they need not be read."""
    places = {footer.schema.column(place).path: place for place in range(footer.num_columns)}
    for name in names:
        place = places.get(name)  # a list has another path
        if place is not None and all(
            _is_null(footer.row_group(number).column(place)) for number in row_groups
        ):
            yield name


def _is_null(column: pq.ColumnChunkMetaData) -> bool:
    found = column.statistics
    return found is not None and found.has_null_count and found.null_count == column.num_values


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
