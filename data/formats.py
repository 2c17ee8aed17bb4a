"""Rows of data sets and files, a few at a time. Images stay as they are stored."""

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from data.columns import Row
from data.errors import InputError
from data.tables import READ_BUFFER_BYTES

BATCH_ROWS = 16
"""Rows read at a time: images of a megabyte each are still little."""
BETWEEN_ITEMS = re.compile(r"[\s,]*")


class Opened(NamedTuple):
    """Something that rows can be read from, as often as wanted."""

    columns: list[str]
    read: Callable[[Sequence[str]], Iterable[Row]]
    """Columns wanted -> the rows, in a fixed order."""
    num_rows: int | None
    """None: not known before they are read."""


def open_dataset(dataset: Any) -> Opened:
    """A `datasets.Dataset` or `IterableDataset`, read as Arrow so that no image is decoded."""
    arrow = dataset.with_format("arrow")
    labels = _labels(dataset.features or {})

    def read(columns: Sequence[str]) -> Iterator[Row]:
        for table in arrow.select_columns(list(columns)).iter(batch_size=BATCH_ROWS):
            yield from _named(table.to_pylist(), labels)

    columns = dataset.column_names or next(arrow.iter(batch_size=1)).column_names
    return Opened(columns, read, len(dataset) if hasattr(dataset, "__len__") else None)


def _labels(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """Column -> the names of its labels, where a data set keeps names as numbers."""
    return {name: kind.names for name, kind in features.items() if hasattr(kind, "int2str")}


def _named(rows: Iterable[dict[str, Any]], labels: Mapping[str, Sequence[str]]) -> Iterator[Row]:
    """Rows with their labels by name; a negative number says that there is none."""
    for row in rows:
        for column in labels.keys() & row.keys():
            number = row[column]
            row[column] = None if number is None or number < 0 else labels[column][number]
        yield row


def _parquet(files: Sequence[Path]) -> Opened:
    def read(columns: Sequence[str]) -> Iterator[Row]:
        for file in files:
            # Page by page: a file may well be one row group that is larger than the memory.
            parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=READ_BUFFER_BYTES)
            for batch in parquet.iter_batches(BATCH_ROWS, columns=list(columns)):
                yield from _named(batch.to_pylist(), labels)

    schema = pq.read_schema(files[0])
    labels: dict[str, list[str]] = {}
    if b"huggingface" in (schema.metadata or {}):
        from datasets import Features

        labels = _labels(Features.from_arrow_schema(schema))
    num_rows = sum(pq.read_metadata(file).num_rows for file in files)
    return Opened(schema.names, read, num_rows)


def _json(files: Sequence[Path]) -> Opened:
    def read(columns: Sequence[str]) -> Iterator[Row]:
        for row in itertools.chain.from_iterable(map(_json_rows, files)):
            yield {column: row.get(column) for column in columns}

    columns: dict[str, None] = {}
    num_rows = 0
    for row in itertools.chain.from_iterable(map(_json_rows, files)):
        columns.update(dict.fromkeys(row))
        num_rows += 1
    return Opened(list(columns), read, num_rows)


def open_files(kind: str, files: Sequence[Path]) -> Opened:
    """Parquet or JSON files as one stream of rows.

    Raises:
        InputError: `kind` is neither `parquet`, `json` nor `jsonl`.
    """
    match kind:
        case "parquet":
            return _parquet(files)
        case "json" | "jsonl":
            return _json(files)
    raise InputError(
        f"{files[0].name} is of no kind that can be read.",
        "Give a .parquet, .jsonl or .json file, or a folder.",
    )


def _json_rows(path: Path) -> Iterator[Row]:
    """The objects of a JSON list, or of a file with one on each line.

    Raises:
        ValueError: the file is something else.
    """
    with path.open(encoding="utf-8-sig") as file:
        is_list = file.read(1000).lstrip().startswith("[")
    for where, row in _list_items(path) if is_list else _lines(path):
        if not isinstance(row, dict):
            raise ValueError(f"{where} is no JSON object")
        yield row


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield f"line {number}", json.loads(line)
                except ValueError as error:
                    raise ValueError(f"line {number} is no JSON ({error})") from error


def _list_items(path: Path) -> Iterator[tuple[str, Any]]:
    """The items of a JSON list, parsed one at a time: only its text is in memory as a whole."""
    text = path.read_text(encoding="utf-8-sig")
    decoder = json.JSONDecoder()
    position = text.index("[") + 1
    for number in itertools.count(1):
        position = BETWEEN_ITEMS.match(text, position).end()  # type: ignore[union-attr]
        if text.startswith("]", position):
            return
        item, position = decoder.raw_decode(text, position)
        yield f"item {number}", item
