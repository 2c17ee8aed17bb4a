"""Rows by position: of data sets, and of JSON files whose images lie beside them."""

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import InputError

LONGEST_NAME = 300
"""Characters of a text that may name a file."""
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})


class Rows(NamedTuple):
    """A table that can be read from any position."""

    columns: list[str]
    num_rows: int
    read: Callable[[int, int], list[dict[str, Any]]]
    """The rows from one position up to another; images as `{"bytes", "path"}`, not decoded."""


def dataset_rows(dataset: Any) -> Rows:
    """A `datasets.Dataset`, read as Arrow so that no image is decoded."""
    arrow = dataset.with_format("arrow")

    def read(start: int, stop: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = arrow[start:stop].to_pylist()
        return rows

    return Rows(dataset.column_names, len(dataset), read)


def file_rows(folder: Path, name: str) -> Rows:
    """A JSON list somewhere in a folder, with images in any folder or ZIP archive beside it.

    A text, or list of texts, that names an image is read as that image.

    Raises:
        InputError: there is no such file, it holds no list of objects, or it names images of which
            none is there.
    """
    found = sorted(folder.rglob(name))
    if not found:
        raise InputError(f"There is no {name} in {folder}.", "Take another version of the set.")
    items = json.loads(found[0].read_text(encoding="utf-8"))
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InputError(f"{found[0]} is no list of objects.", "Take another version of the set.")
    images = _images(folder)
    columns = list(dict.fromkeys(column for item in items for column in item))

    named = {Path(text).name for item in items for text in _texts(item.values()) if _is_image(text)}
    if named and not named & images.keys():
        raise InputError(
            f"{found[0]} names {len(named):,} images, and {folder} holds none of them.",
            "Unpack the images there, or put their .zip beside it.",
        )

    def cell(value: Any) -> Any:
        if isinstance(value, list):
            return [cell(item) for item in value]
        if isinstance(value, str) and _is_image(value):
            load = images.get(Path(value).name)
            return {"bytes": load() if load else None, "path": Path(value).name}
        return value

    def read(start: int, stop: int) -> list[dict[str, Any]]:
        return [{key: cell(value) for key, value in item.items()} for item in items[start:stop]]

    return Rows(columns, len(items), read)


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, list):
            yield from _texts(value)
        elif isinstance(value, str):
            yield value


def _is_image(text: str) -> bool:
    return len(text) < LONGEST_NAME and Path(text).suffix.lower() in IMAGE_SUFFIXES


def _images(folder: Path) -> dict[str, Callable[[], bytes]]:
    """File name -> how to read it."""
    found: dict[str, Callable[[], bytes]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            found[path.name] = path.read_bytes
        elif path.suffix.lower() == ".zip":
            archive = zipfile.ZipFile(path)
            for member in archive.namelist():
                found[Path(member).name] = _reader(archive, member)
    return found


def _reader(archive: zipfile.ZipFile, member: str) -> Callable[[], bytes]:
    return lambda: archive.read(member)


def snapshot(repo: str, folder: Path | None = None) -> Path:
    """The files of a data set on the hub, in the hub's cache or in a folder."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repo, repo_type="dataset", local_dir=folder))
