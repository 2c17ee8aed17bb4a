"""The parts of a shard under way, `TABLE/.parts/00003/*.parquet`: what of it is done."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data import tables
from data.records import KEYS, schema
from stages.engines import Prefix
from stages.identity import check_identity
from stages.job import Job, Key
from stages.merging import column, is_failed, is_unfinished, keys


@dataclass
class Done:
    """What parts hold of a shard."""

    keys: set[Key] = field(default_factory=set)
    """Rows that need not be made."""
    prefixes: dict[Key, Prefix] = field(default_factory=dict)
    """What there is of rows that do."""
    revision: int = 0


def parts_folder(table: Path, index: int) -> Path:
    """Where the parts of a shard and its leases lie."""
    return table / ".parts" / f"{index:05d}"


def list_parts(table: Path, index: int) -> list[Path]:
    """What attempts so far have committed of a shard."""
    return sorted(parts_folder(table, index).glob("[!.]*.parquet"))


def read_done(job: Job, record: type, parts: Sequence[Path]) -> Done:
    """Find the keys that are done, and where the others had come to.

    Raises:
        RefusedError: a part was made with other settings or inputs.
        InputError: a part is gone or broken.
    """
    done = Done()
    names = schema(record).names
    columns = [name for name in (*KEYS, "finish_reason", "error", "status") if name in names]
    for part in parts:
        check_identity(part, job.metadata, job.redo)
        metadata = tables.read_metadata(part)
        done.revision = max(done.revision, metadata.revision if metadata else 0)
        is_older = metadata is not None and metadata.finished_at < job.started_at
        has_prefixes = False
        for batch in tables.read_batches(part, record, columns):
            table = pa.Table.from_batches([batch])
            waiting = is_unfinished(table)
            if is_older:
                waiting = pc.or_(waiting, is_to_redo(table, job.redo))
            done.keys.update(keys(table.filter(pc.invert(waiting))))
            has_prefixes = has_prefixes or bool(pc.any(waiting).as_py())
        if has_prefixes:
            _read_prefixes(part, record, done)
    for key in done.keys & done.prefixes.keys():
        del done.prefixes[key]
    return done


def _read_prefixes(part: Path, record: type, done: Done) -> None:
    """Remember how far unfinished and cut-off rows are; of two that are the same, the longer."""
    if "token_ids" not in schema(record).names:
        return
    for row in tables.read_rows(part, record):
        key = tuple(row[name] for name in KEYS if name in row)
        token_ids = row["token_ids"]
        if row["finish_reason"] not in ("unfinished", "length") or not token_ids:
            continue
        if key not in done.prefixes or len(done.prefixes[key].token_ids) < len(token_ids):
            logprob = row.get("logprob") or 0.0
            done.prefixes[key] = Prefix(token_ids=token_ids, logprob=logprob)


def read_rows(parts: Sequence[Path], record: type, wanted: set[Key]) -> Iterator[dict[str, Any]]:
    """The rows that parts hold of some keys."""
    for part in parts:
        for row in tables.read_rows(part, record):
            if tuple(row[name] for name in KEYS if name in row) in wanted:
                yield row


def is_to_redo(table: pa.Table, redo: str | None) -> pa.Array:
    """Which rows are to be made again although they are there."""
    if redo == "errors":
        return is_failed(table)
    if redo == "length":
        return pc.fill_null(pc.equal(column(table, "finish_reason", ""), "length"), False)
    return pa.array([False] * table.num_rows, pa.bool_())


def has_rows_to_redo(job: Job, record: type, shard: Path) -> bool:
    """Whether a finished shard, older than this attempt, has rows to make again."""
    metadata = tables.read_metadata(shard)
    if job.redo is None or metadata is None or metadata.finished_at >= job.started_at:
        return False
    names = schema(record).names
    columns = [name for name in (*KEYS, "finish_reason", "error", "status") if name in names]
    return any(
        pc.any(is_to_redo(pa.Table.from_batches([batch]), job.redo)).as_py()
        for batch in tables.read_batches(shard, record, columns)
    )
