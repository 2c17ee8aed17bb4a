"""Where samples come from: Hugging Face data sets, Parquet, JSONL, JSON and the built-in world.

Every kind of source is read in the same way: a stream of rows, each a dictionary, a few in memory
at a time. Images stay as they are stored; nothing is decoded here.
"""

import contextlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from data.columns import Row
from data.errors import InputError
from data.formats import Opened, open_dataset, open_files

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
            with unreadable(self.name):
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
        InputError: it can't be read, or there is no such source, split or folder.
    """
    path = Path(source)
    if image_folder is not None and not image_folder.is_dir():
        raise InputError(f"There is no folder {image_folder}.", "Check --image-folder.")
    with unreadable(source):
        if source.startswith("world:"):
            return _world(source.removeprefix("world:"), limit)
        if path.is_dir():
            found = _folder(path, split)
        elif path.is_file():
            found = open_files(path.suffix.removeprefix("."), [path])
        elif HUB_ID.fullmatch(source) and not source.endswith((".parquet", ".jsonl", ".json")):
            return _hub(source, split, image_folder or Path())
        else:
            raise InputError(f"There is no {source}.", "Check the path of the source.")
    folder = image_folder or (path if path.is_dir() else path.parent)
    return Source(name=path.resolve().name, folder=folder, **found._asdict())


@contextlib.contextmanager
def unreadable(name: str) -> Iterator[None]:
    """Put what libraries raise about data that they can't read into an `InputError`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        # pyarrow, json and datasets raise kinds of OSError and ValueError about data, but for
        # datasets' own DatasetsError, whose module is not imported for the sake of its name.
        theirs = type(error).__module__.startswith("datasets.")
        if not theirs and not isinstance(error, (OSError, ValueError, pa.ArrowException)):
            raise
        reason = re.sub(r"\s+", " ", str(error)).strip().removesuffix(".")
        raise InputError(
            f"{name} can't be read: {reason}.", "Check the source and its name."
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


def _folder(path: Path, split: str) -> Opened:
    import datasets

    if (path / "dataset_dict.json").exists():
        return open_dataset(_pick(datasets.load_from_disk(path), split, path.name))
    if (path / "state.json").exists():
        return open_dataset(datasets.load_from_disk(path))
    builder = datasets.load_dataset_builder(str(path))
    if builder.name == "imagefolder" and (questions := _questions_beside_images(path)):
        name = split if len(questions) > 1 else next(iter(questions))
        return open_files("json", [_pick(questions, name, path.name)])
    if builder.name in ("parquet", "json"):
        # Read without datasets, which would copy all of it and insist on one type per column.
        files = _pick(builder.config.data_files, split, path.name)
        return open_files(builder.name, [Path(file) for file in files])
    found = datasets.load_dataset(str(path), streaming=True)
    return open_dataset(_pick(found, split, path.name))


def _questions_beside_images(path: Path) -> dict[str, Path]:
    """Split -> JSON file, in a folder that datasets takes for nothing but images."""
    files = sorted([*path.glob("*.jsonl"), *path.glob("*.json")])
    is_image_folder = any(path.glob("metadata.*"))
    return {} if is_image_folder else {file.stem: file for file in files}


def _hub(source: str, split: str, folder: Path) -> Source:
    import datasets

    name, _, configuration = source.partition(":")
    found = open_dataset(datasets.load_dataset(name, configuration or None, split=split))
    return Source(name=source, folder=folder, **found._asdict())


def _pick(splits: Mapping[str, Found], split: str, name: str) -> Found:
    if split not in splits:
        raise InputError(
            f"{name} has no split {split!r}.",
            f"Choose one with --split: {', '.join(map(str, splits))}.",
        )
    return splits[split]
