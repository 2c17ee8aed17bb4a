"""Rows of a JSON file, parsed one at a time, with numbers and types as the file has them."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.columns import Row

BETWEEN_ITEMS = re.compile(r"[\s,]*")


def json_rows(path: Path) -> Iterator[Row]:
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
