"""Tables as folders of Parquet shards, each written atomically and carrying its own history.

A shard under its final name is complete and never rewritten: it is written beside that name,
flushed to disk, and linked into place if nothing is there yet. Readers see final names only.
"""

import contextlib
import hashlib
import json
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import InputError
from data.records import SCHEMA_VERSION, required_columns, schema

SHARD_NAME = re.compile(r"part-(\d{5})-of-(\d{5})\.parquet")
METADATA_KEY = b"sophia"
READ_BUFFER_BYTES = 2**20
ROW_GROUP_ROWS = 4096
ROW_GROUP_BYTES = 2**26


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a shard says of itself, kept in the Parquet file's key-value metadata."""

    stage: str
    digest: str
    """Identity of everything the rows depend on: settings and inputs."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The settings behind the digest, so that a difference can be named."""
    root: str = ""
    """As `digest`, without the settings that may grow: rows are added, those there stay."""
    growing: dict[str, int] = field(default_factory=dict)
    """Those settings, such as `reason.num_rollouts`."""
    redone: dict[str, int] = field(default_factory=dict)
    """How often rows were made again (`--redo`): those that had failed (`errors`), which nothing
    but failed rows was made from, and those that were cut off (`length`)."""
    mended_inputs: dict[str, int] = field(default_factory=dict)
    """Input table -> how often failed rows were made again in its shards, all together."""
    schema_version: int = SCHEMA_VERSION
    num_rows: int = 0
    num_errors: int = 0
    num_tokens: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    """Rows by status, or else by finish_reason; `unfinished` ones only in parts."""
    error_kinds: dict[str, int] = field(default_factory=dict)
    """Failed rows by what failed, such as `image` or `prompt_too_long`."""
    kept_tokens: int = 0
    """Tokens of unfinished rows, behind which the next attempt goes on."""
    seconds: float = 0.0
    """Time spent on these rows, by all attempts."""
    finished_at: float = 0.0
    """Unix time."""
    figures: dict[str, int] = field(default_factory=dict)
    """Counts a stage made on the way, which add up over shards."""

    def differences(self, now: "Metadata") -> str:
        """The settings that differ, as `name = 1, now 2; ...`; empty where none does."""
        names = sorted(self.settings.keys() | now.settings.keys())
        return "; ".join(
            f"{name} = {self.settings.get(name)!r}, now {now.settings.get(name)!r}"
            for name in names
            if self.settings.get(name) != now.settings.get(name)
        )

    def encode(self) -> dict[bytes, bytes]:
        """As Arrow schema metadata."""
        return {METADATA_KEY: json.dumps(vars(self), sort_keys=True).encode()}


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


def read_metadata(path: Path) -> Metadata | None:
    """A shard's own metadata; None for a file that another tool wrote.

    Raises:
        InputError: the file is no Parquet file, or a newer version of this program wrote it.
    """
    raw = (open_parquet(path).metadata.metadata or {}).get(METADATA_KEY)
    if raw is None:
        return None
    values = json.loads(raw)
    if values["schema_version"] > SCHEMA_VERSION:
        raise InputError(f"{path} was written by a newer version of sophia.", "Install that one.")
    return Metadata(**values)


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


def digest_of(*parts: Any) -> str:
    """A short hex digest of anything JSON can say."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def table_digest(folder: Path) -> str:
    """Identity of a table's content, from its shards' metadata, or their bytes where foreign."""
    return _joint_digest(folder, "digest")


def table_root(folder: Path) -> str:
    """As `table_digest`, but the same when rows were added to the table or in place of failed ones.

    What was made from the others stays as it is.
    """
    return _joint_digest(folder, "root", but="errors")


def times_mended(folder: Path) -> int:
    """How often failed rows were made again in a table's shards, all together."""
    found = filter(None, map(read_metadata, shards(folder)))
    return sum(metadata.redone.get("errors", 0) for metadata in found)


def _joint_digest(folder: Path, name: str, but: str = "") -> str:
    digests = set()
    for path in shards(folder):
        metadata = read_metadata(path)
        if metadata is None:
            with path.open("rb") as file:
                digests.add(hashlib.file_digest(file, "sha256").hexdigest()[:16])
        else:
            redone = sorted(each for each in metadata.redone.items() if each[0] != but)
            digests.add("-".join([getattr(metadata, name), *(f"{k}{n}" for k, n in redone)]))
    return digests.pop() if len(digests) == 1 else digest_of(sorted(digests))


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
    has_statistics: bool = True,
) -> bool:
    """Write a table that need not fit into memory, as `write_atomically` does.

    Args:
        path: its final name.
        columns: its schema.
        pieces: its rows, in order.
        metadata: asked for when all rows are written.
        folder: where it is written first, on the same file system; by default beside its name.
        has_statistics: keep the smallest and largest value of each column, which is a
            good part of the time that narrow columns take.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = (folder or path.parent) / f".{path.name}.{uuid.uuid4().hex}"
    try:
        # Dictionary arrays are written as the texts that they stand for.
        has_codes = any(pa.types.is_dictionary(column.type) for column in columns)
        with pq.ParquetWriter(
            temporary,
            columns,
            compression="zstd",
            write_statistics=has_statistics,
            store_schema=not has_codes,
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


def look_anew(folder: Path) -> None:
    """Have a network file system forget what it remembers of a folder.

    It may go on saying for a minute that a file is not there which another machine has just made;
    after a change of our own it asks the server again.
    """
    mark = folder / ".look"
    mark.touch()
    mark.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
