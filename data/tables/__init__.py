"""Tables as folders of Parquet shards, each written atomically and carrying its own history.

A shard under its final name is complete and never rewritten: it is written beside that name,
flushed to disk, and linked into place if nothing is there yet. Readers see final names only.
"""

from data.tables.metadata import (
    Metadata,
    digest_of,
    read_metadata,
    table_digest,
    table_root,
    times_mended,
)
from data.tables.names import (
    is_complete,
    look_anew,
    shard_count,
    shard_index,
    shard_path,
    shards,
)
from data.tables.reading import (
    READ_BUFFER_BYTES,
    ROW_GROUP_BYTES,
    count_rows,
    count_rows_of_part,
    estimate_rows,
    open_parquet,
    read_batches,
    read_rows,
)
from data.tables.taking import read_rows_at
from data.tables.writing import (
    ROW_GROUP_ROWS,
    link_into_place,
    stream_atomically,
    sync_folder,
    to_table,
    write_atomically,
)

__all__ = [
    "READ_BUFFER_BYTES",
    "ROW_GROUP_BYTES",
    "ROW_GROUP_ROWS",
    "Metadata",
    "count_rows",
    "count_rows_of_part",
    "digest_of",
    "estimate_rows",
    "is_complete",
    "link_into_place",
    "look_anew",
    "open_parquet",
    "read_batches",
    "read_metadata",
    "read_rows",
    "read_rows_at",
    "shard_count",
    "shard_index",
    "shard_path",
    "shards",
    "stream_atomically",
    "sync_folder",
    "table_digest",
    "table_root",
    "times_mended",
    "to_table",
    "write_atomically",
]
