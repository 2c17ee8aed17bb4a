"""Parts into one table: planned order, each key once, without ever holding more than a window.

Every part is sorted by the table's order, so the parts are merged as sorted files are: take the
rows up to the nearest end of what was read of each, sort them, go on.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data import tables
from data.records import KEYS, schema
from stages.job import Key

ROWS_AT_ONCE = 4096
BYTES_AT_ONCE = 2**26
"""Held of all parts together, about, whichever is less."""
UNFINISHED = "unfinished"
"""The finish_reason of a row in a part whose answer was cut short by a stop."""


def merge(
    parts: Sequence[Path],
    record: type,
    position: Mapping[Key, int],
    outdated: Mapping[Path, Container[Key]] | None = None,
) -> Iterator[pa.Table]:
    """Stream the rows of parts in order.

    Where a key is there more than once, a finished row goes before a pruned one, that before a
    failed one, and that before an unfinished one; of finished ones, one that ended by itself before
    one that was cut off; then the one with more tokens. (Two workers may each have given up a
    rollout for the sake of one that only the other gave up.) Keys without a position are left out.

    Args:
        parts: files of the record's schema, each sorted by position.
        record: the record class.
        position: of each key in the table.
        outdated: part -> keys whose rows there don't count.

    Raises:
        InputError: a part is gone or broken.
    """
    left_out = outdated or {}
    cursors = [
        _Cursor(part, record, position, left_out.get(part), _batch_size(part, len(parts)))
        for part in parts
    ]
    cursors = [cursor for cursor in cursors if cursor.fill()]
    while cursors:
        limit = min(int(cursor.positions[-1]) for cursor in cursors)
        taken = [cursor.take(limit) for cursor in cursors]
        positions = np.concatenate([positions for positions, _ in taken])
        yield _each_once(pa.concat_tables([table for _, table in taken]), positions)
        cursors = [cursor for cursor in cursors if len(cursor.positions) or cursor.fill()]


def _batch_size(part: Path, num_parts: int) -> int:
    """Rows of a part to read at once."""
    footer = tables.open_parquet(part).metadata
    columns = (
        footer.row_group(group).column(number)
        for group in range(footer.num_row_groups)
        for number in range(footer.num_columns)
    )
    # Values that repeat take less room in the file than in memory: a token four bytes there.
    num_bytes = sum(max(each.total_uncompressed_size, 4 * each.num_values) for each in columns)
    share: int = BYTES_AT_ONCE * footer.num_rows // max(1, num_bytes * num_parts)
    return max(1, min(share, ROWS_AT_ONCE // num_parts))


class _Cursor:
    """How far a part is read."""

    def __init__(
        self,
        part: Path,
        record: type,
        position: Mapping[Key, int],
        outdated: Container[Key] | None,
        batch_size: int,
    ) -> None:
        self.batches = tables.read_batches(part, record, batch_size=batch_size)
        self.schema = schema(record)
        self.position = position
        self.outdated = outdated or ()
        self.positions = np.empty(0, np.int64)
        self.table = self.schema.empty_table()

    def fill(self) -> bool:
        """Read on; False at the end."""
        for batch in self.batches:
            table = pa.Table.from_batches([batch], schema=self.schema)
            found = keys(table)
            positions = np.array([self.position.get(key, -1) for key in found], np.int64)
            if self.outdated:
                positions[[key in self.outdated for key in found]] = -1
            planned = positions >= 0
            self.table, self.positions = table.filter(pa.array(planned)), positions[planned]
            if len(self.positions):
                return True
        return False

    def take(self, limit: int) -> tuple[np.ndarray, pa.Table]:
        """The rows up to a position, which are then read."""
        number = int(np.searchsorted(self.positions, limit, side="right"))
        taken = self.positions[:number], self.table.slice(0, number)
        self.positions, self.table = self.positions[number:], self.table.slice(number)
        return taken


def _each_once(table: pa.Table, positions: np.ndarray) -> pa.Table:
    """Sort a window by position, and keep the best row of each."""
    tokens = column(table, "num_tokens", 0).to_numpy(zero_copy_only=False)
    order = np.lexsort((-tokens, _rank(table), positions))
    ordered = positions[order]
    first = np.ones(len(order), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return table.take(pa.array(order[first]))


def _rank(table: pa.Table) -> np.ndarray:
    """Lower is better: a row that ended, one cut off, a pruned, a failed, an unfinished one."""
    failed = is_failed(table).to_numpy(zero_copy_only=False)
    unfinished = is_unfinished(table).to_numpy(zero_copy_only=False)
    pruned, cut_off = (
        pc.fill_null(pc.equal(column(table, "finish_reason", ""), reason), False).to_numpy(
            zero_copy_only=False
        )
        for reason in ("pruned", "length")
    )
    return np.select([unfinished, failed, pruned, cut_off], [4, 3, 2, 1], 0)


def is_failed(table: pa.Table) -> pa.Array:
    """Which rows carry an error."""
    return pc.or_(
        pc.is_valid(column(table, "error", None)),
        pc.fill_null(pc.equal(column(table, "status", ""), "error"), False),
    )


def is_unfinished(table: pa.Table) -> pa.Array:
    """Which rows wait to be continued."""
    return pc.fill_null(pc.equal(column(table, "finish_reason", ""), UNFINISHED), False)


def column(table: pa.Table, name: str, default: object) -> pa.Array:
    """A column that a table may not have."""
    if name in table.column_names:
        return table[name].combine_chunks()
    kind = pa.int64() if isinstance(default, int) else pa.string()
    return pa.array([default] * table.num_rows, kind)


def keys(table: pa.Table) -> list[Key]:
    """The keys of a table's rows."""
    columns = [table[name].to_pylist() for name in KEYS if name in table.column_names]
    return list(zip(*columns, strict=True))
