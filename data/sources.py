"""Where samples come from: Hugging Face data sets, Parquet, JSONL, JSON and the built-in world.

Every kind of source is read in the same way: a stream of rows, each a dictionary, a few in memory
at a time. Images stay as they are stored; nothing is decoded here.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from data.columns import Row
from data.errors import InputError
from data.json_rows import json_rows
from data.tables import READ_BUFFER_BYTES

BATCH_ROWS = 16
"""Rows read at a time: images of a megabyte each are still little."""
WORLD_SEED = 0
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?")

Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Something that samples can be read from, as often as wanted."""

    name: str
    """What the samples say where they come from; no path of a machine."""
    columns: list[str]
    read: Callable[[Sequence[str]], Iterable[Row]]
    """Columns wanted -> the rows, in a fixed order."""
    num_rows: int | None = None
    """None: not known before they are read."""
    folder: Path = field(default_factory=Path)
    """What the paths of images are relative to."""
    meanings: Mapping[str, str] = field(default_factory=dict)
    """What a column says -> the column, where the source itself knows."""

    def rows(self, columns: Sequence[str], limit: int | None = None) -> Iterator[Row]:
        """The rows, at most `limit` of them.

        Raises:
            InputError: what is there can't be read.
        """
        rows = itertools.islice(self.read(columns), limit)
        while True:
            with _Unreadable(self.name):
                try:
                    row = next(rows)
                except StopIteration:
                    return
            yield row


def open_source(
    source: str, *, split: str, limit: int | None = None, image_folder: Path | None = None
) -> Source:
    """Find out what a source is, and what columns it has.

    Args:
        source: `world:train` or `world:heldout`; a `.parquet`, `.jsonl` or `.json` file; a folder
            that `save_to_disk` wrote or that holds data files; the id of a data set on the
            Hugging Face Hub, `owner/name` or `owner/name:configuration`.
        split: which split of a data set that has several.
        limit: how many samples of the built-in world there are to be.
        image_folder: what the paths of images are relative to; the source's own folder by default.

    Raises:
        InputError: it can't be read, or there is no such source or split.
    """
    path = Path(source)
    if image_folder is not None and not image_folder.is_dir():
        raise InputError(f"There is no folder {image_folder}.", "Check --image-folder.")
    with _Unreadable(source):
        if source.startswith("world:"):
            return _world(source.removeprefix("world:"), limit)
        if path.is_dir():
            found = _folder(path, split)
        elif path.is_file():
            found = _files(path.suffix.removeprefix("."), [path])
        elif HUB_ID.fullmatch(source) and not source.endswith((".parquet", ".jsonl", ".json")):
            return _hub(source, split, image_folder or Path())
        else:
            raise InputError(f"There is no {source}.", "Check the path of the source.")
    columns, read, num_rows = found
    folder = path if path.is_dir() else path.parent
    return Source(
        name=path.resolve().name,
        columns=columns,
        read=read,
        num_rows=num_rows,
        folder=image_folder or folder,
    )


_Opened = tuple[list[str], Callable[[Sequence[str]], Iterable[Row]], int | None]
"""Columns, how to read them, number of rows."""


class _Unreadable:
    """Puts what libraries raise about unreadable files and data sets into an `InputError`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        # What pyarrow, json and datasets raise about data are kinds of ValueError and OSError,
        # but for datasets' own DatasetsError, whose module is not imported for its name alone.
        ours = isinstance(error, (OSError, ValueError, pa.ArrowException))
        theirs = error is not None and type(error).__module__.startswith("datasets.")
        if ours or theirs:
            reason = re.sub(r"\s+", " ", str(error)).strip().removesuffix(".")
            raise InputError(
                f"{self.name} can't be read: {reason}.", "Check the source and its name."
            ) from error


def _world(split: str, limit: int | None) -> Source:
    from data import world

    if split not in ("train", "heldout"):
        raise InputError(
            f"The built-in world has no {split!r}.", "Take world:train or world:heldout."
        )
    if limit is None:
        raise InputError(
            "The built-in world has no end.", "Say how many samples to make with --limit."
        )

    def read(columns: Sequence[str]) -> Iterator[Row]:
        for sample in world.iterate_samples(split, limit, WORLD_SEED):  # type: ignore[arg-type]
            row = asdict(sample)
            yield {column: row[column] for column in columns}

    return Source(
        name=world.SOURCE,
        columns=["question", "images", "answer", "answer_type", "choices", "hint", "source"],
        read=read,
        num_rows=limit,
        meanings={"answer_type": "answer_type"},
    )


def _folder(path: Path, split: str) -> _Opened:
    import datasets

    if (path / "dataset_dict.json").exists():
        return _dataset(_pick(datasets.load_from_disk(path), split, path.name))
    if (path / "state.json").exists():
        return _dataset(datasets.load_from_disk(path))
    builder = datasets.load_dataset_builder(str(path))
    if builder.name == "imagefolder" and (questions := _questions_beside_images(path)):
        name = split if len(questions) > 1 else next(iter(questions))
        return _json([_pick(questions, name, path.name)])
    if builder.name in ("parquet", "json"):
        # Read without datasets, which would copy all of it and insist on one type per column.
        files = _pick(builder.config.data_files, split, path.name)
        return _files(builder.name, [Path(file) for file in files])
    found = datasets.load_dataset(str(path), streaming=True)
    return _dataset(_pick(found, split, path.name))


def _questions_beside_images(path: Path) -> dict[str, Path]:
    """Split -> JSON file, in a folder that datasets takes for nothing but images."""
    files = sorted([*path.glob("*.jsonl"), *path.glob("*.json")])
    is_image_folder = any(path.glob("metadata.*"))
    return {} if is_image_folder else {file.stem: file for file in files}


def _hub(source: str, split: str, folder: Path) -> Source:
    import datasets

    name, _, configuration = source.partition(":")
    loaded = datasets.load_dataset(name, configuration or None, split=split)
    columns, read, num_rows = _dataset(loaded)
    return Source(name=source, columns=columns, read=read, num_rows=num_rows, folder=folder)


def _pick(splits: Mapping[str, Found], split: str, name: str) -> Found:
    if split not in splits:
        raise InputError(
            f"{name} has no split {split!r}.",
            f"Choose one with --split: {', '.join(map(str, splits))}.",
        )
    return splits[split]


def _dataset(dataset: Any) -> _Opened:
    """A `datasets.Dataset` or `IterableDataset`, read as Arrow so that no image is decoded."""
    arrow = dataset.with_format("arrow")
    labels = _labels(dataset.features or {})

    def read(columns: Sequence[str]) -> Iterator[Row]:
        for table in arrow.select_columns(list(columns)).iter(batch_size=BATCH_ROWS):
            yield from _named(table.to_pylist(), labels)

    columns = dataset.column_names or next(arrow.iter(batch_size=1)).column_names
    return columns, read, len(dataset) if hasattr(dataset, "__len__") else None


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


def _files(kind: str, files: Sequence[Path]) -> _Opened:
    match kind:
        case "parquet":
            return _parquet(files)
        case "json" | "jsonl":
            return _json(files)
    raise InputError(
        f"{files[0].name} is of no kind that can be read.",
        "Give a .parquet, .jsonl or .json file, or a folder.",
    )


def _parquet(files: Sequence[Path]) -> _Opened:
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
    return schema.names, read, sum(pq.read_metadata(file).num_rows for file in files)


def _json(files: Sequence[Path]) -> _Opened:
    def read(columns: Sequence[str]) -> Iterator[Row]:
        for row in itertools.chain.from_iterable(map(json_rows, files)):
            yield {column: row.get(column) for column in columns}

    columns: dict[str, None] = {}
    num_rows = 0
    for row in itertools.chain.from_iterable(map(json_rows, files)):
        columns.update(dict.fromkeys(row))
        num_rows += 1
    return list(columns), read, num_rows
