"""Shards written beside their names, and given them when they are complete and on disk."""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.records import schema
from data.tables.metadata import Metadata
from data.tables.reading import ROW_GROUP_BYTES

ROW_GROUP_ROWS = 4096
PAGE_ROWS = 64
"""Rows after which a page may end. With pyarrow's 1024 a page of long texts has fifty megabytes,
and whoever reads one of its rows holds it."""
NARROW_PAGE_ROWS = 65_536


def to_table(rows: Iterable[Any], record: type) -> pa.Table:
    """Records as an Arrow table of their schema."""
    return pa.Table.from_pylist([vars(row) for row in rows], schema=schema(record))


def write_atomically(path: Path, table: pa.Table, metadata: Metadata) -> bool:
    """Write a table under a name that readers ignore, then link it into place.

    Returns:
        False where a file of that name was there first: it is left as it is.
    """
    return stream_atomically(path, table.schema, [table], lambda: metadata)


def stream_atomically(
    path: Path,
    columns: pa.Schema,
    pieces: Iterable[pa.Table],
    metadata: Callable[[], Metadata],
    folder: Path | None = None,
    *,
    is_narrow: bool = False,
) -> bool:
    """Write a table that need not fit into memory, as `write_atomically` does.

    Args:
        path: its final name.
        columns: its schema.
        pieces: its rows, in order.
        metadata: asked for when all rows are written.
        folder: where it is written first, on the same file system; by default beside its name.
        is_narrow: many rows of a few bytes. Spares what takes a good part of their time: the
            smallest and largest value of each column, dictionaries of anything but texts, and the
            last bit of compression.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = (folder or path.parent) / f".{path.name}.{uuid.uuid4().hex}"
    try:
        # Dictionary arrays are written as the texts that they stand for.
        texts = [column.name for column in columns if pa.types.is_dictionary(column.type)]
        with pq.ParquetWriter(
            temporary,
            columns,
            compression="snappy" if is_narrow else "zstd",
            use_dictionary=texts if is_narrow else True,
            write_statistics=not is_narrow,
            write_batch_size=NARROW_PAGE_ROWS if is_narrow else PAGE_ROWS,
            store_schema=not texts,
        ) as writer:
            for group in _row_groups(pieces):
                writer.write_table(group.replace_schema_metadata(None))
            writer.add_key_value_metadata(metadata().encode())
        return link_into_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _row_groups(pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join small pieces, so that a file is not made of crumbs."""
    waiting: list[pa.Table] = []
    rows = size = 0
    for piece in pieces:
        waiting.append(piece)
        rows += piece.num_rows
        size += piece.nbytes
        if rows >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
            yield pa.concat_tables(waiting)
            waiting.clear()
            rows = size = 0
    if waiting:
        yield pa.concat_tables(waiting)


def link_into_place(temporary: Path, path: Path) -> bool:
    """Flush a file to disk and give it its final name, unless that name is taken."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    sync_folder(path.parent)
    return True


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
