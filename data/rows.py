"""How a row of a source becomes a `Sample`: its texts, its choices, its images.

Whatever is wrong with a row is said in the sample's `error`, as `kind: explanation`.
"""

import ast
import base64
import binascii
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from data.columns import Columns, Row
from data.images import MAX_BYTES
from data.records import Sample
from data.tables import digest_of

LARGEST_TOLERANCE = Decimal("1e30")


def make_sample(row: Row, columns: Columns, *, folder: Path, source: str) -> Sample:
    """Turn a row into a sample. Its images are read, but not looked into.

    A row that can't be used becomes a sample with an error and without images.

    Args:
        row: a row of the source.
        columns: what `choose_columns` found.
        folder: what the paths of images are relative to.
        source: the data set's name, for rows that don't say it themselves.
    """
    values = {role: row.get(names[0]) for role, names in columns.items() if names}
    question = values["question"]
    pictures = [
        picture for name in columns["image"] for picture in _read_pictures(row.get(name), folder)
    ]
    problems = [picture.error for picture in pictures if picture.error]
    choices: list[str] | None = None
    unread_choices: str | None = None
    try:
        choices = read_choices(values.get("choices"))
    except ValueError as error:
        problems.insert(0, f"choices: {error}")
        unread_choices = text_of(values["choices"])
    if isinstance(question, (list, dict)):
        problems.insert(0, "question: it is no text")
    elif text_of(question) is None:
        problems.insert(0, "question: it is empty")
    difficulty: float | None = None
    try:
        difficulty = read_difficulty(values.get("difficulty"))
    except ValueError as error:
        problems.append(f"difficulty: {error}")
    tolerance: str | None = None
    try:
        tolerance = read_tolerance(values.get("tolerance"))
    except ValueError as error:
        problems.append(f"tolerance: {error}")
    text = text_of(question) or ""
    answer, hint = text_of(values.get("answer")), text_of(values.get("hint"))
    identity = ([p.identity for p in pictures], text, choices or unread_choices, answer, hint)
    return Sample(
        sample_id=digest_of(*identity),
        images=[] if problems else [{"bytes": p.data, "path": p.path} for p in pictures],
        question=text,
        answer=answer,
        answer_type=text_of(values.get("answer_type")),
        choices=choices,
        hint=hint,
        source=text_of(values.get("source")) or source,
        difficulty=difficulty,
        tolerance=tolerance,
        error=problems[0] if problems else None,
    )


def text_of(value: Any) -> str | None:
    """A cell as text; None where it says nothing.

    A whole number has no decimal point, whichever type the source keeps it in. A list of one
    element is that element; longer lists and structs are JSON.
    """
    match value:
        case None | []:
            return None
        case bool():
            return str(value)
        case float() if value != value:
            return None
        case float() if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
        case [only]:
            return text_of(only)
        case list() | tuple() | dict():
            return _storable(json.dumps(value, ensure_ascii=False, default=str))
        case bytes():
            return text_of(value.decode(errors="replace"))
        case _:
            return _storable(str(value)) if str(value).strip() else None


def _storable(text: str) -> str:
    """Without the lone surrogates that JSON lets through and UTF-8 doesn't."""
    return text.encode(errors="replace").decode()


def read_choices(value: Any) -> list[str] | None:
    """The options of a question, from a list, a struct, or a text that holds a list.

    Raises:
        ValueError: they are something else.
    """
    if isinstance(value, str):
        value = _parse_literal(value) if value.strip() else None
    if isinstance(value, dict):
        value = [option for option in value.values() if option is not None]
    if value is None or value == [] or value == ():
        return None
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"they are no list but {str(value)[:80]!r}")
    return [text_of(option) or "" for option in value]


def read_difficulty(value: Any) -> float | None:
    """A number from 0 to 1, or a text that says one.

    Raises:
        ValueError: it is something else.
    """
    text = text_of(value)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise ValueError(f"it is no number from 0 to 1 but {text[:80]!r}")
    return number


def read_tolerance(value: Any) -> str | None:
    """An allowance such as `0.01` or `1%`, without exponents; None where there is none, or it is 0.

    Raises:
        ValueError: it is something else.
    """
    text = (text_of(value) or "").strip()
    number, percent = text.removesuffix("%").strip(), "%" if text.endswith("%") else ""
    try:
        size = Decimal(number or 0)
    except InvalidOperation:
        size = Decimal(-1)
    if not 0 <= size < LARGEST_TOLERANCE:
        raise ValueError(f"it is no number or percentage but {text[:80]!r}")
    return f"{size:f}{percent}" if size else None


def _parse_literal(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError(f"they are no list but {text[:80]!r}") from None


@dataclass(frozen=True)
class _Picture:
    """An image as it came: bytes, or why there are none."""

    identity: str
    """Digest of the bytes, or what the row said instead."""
    data: bytes | None = None
    path: str | None = None
    error: str | None = None


def _read_pictures(value: Any, folder: Path) -> Iterator[_Picture]:
    match value:
        case None | "":
            return
        case list() | tuple():
            for item in value:
                if item in (None, "", {"bytes": None, "path": None}):
                    yield _Picture(digest_of(None), error="image: one of several is missing")
                yield from _read_pictures(item, folder)
        case bytes():
            yield _picture(value, None)
        case {"bytes": bytes(data)}:
            yield _picture(data, value.get("path"))
        case {"path": str(path)}:
            yield _read_file(path, folder)
        case {"bytes": None}:
            return
        case str() if value.startswith("data:"):
            yield _read_data_url(value)
        case str():
            yield _read_file(value, folder)
        case _:
            kind = type(value).__name__
            error = f"image: a value of type {kind} is no image"
            yield _Picture(digest_of(repr(value)), error=error)


def _picture(data: bytes, path: str | None) -> _Picture:
    # Where on a disk it lay says nothing elsewhere, so of an absolute path only the name is kept.
    name = Path(path).name if path and Path(path).is_absolute() else path
    return _Picture(hashlib.sha256(data).hexdigest(), data, _storable(name) if name else None)


def _read_file(path: str, folder: Path) -> _Picture:
    try:
        with (folder / path).open("rb") as file:
            # One byte more than allowed is enough to tell that it is too large.
            return _picture(file.read(MAX_BYTES + 1), path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = _storable(f"missing_file: {path[:200]} can't be read ({reason})")
        return _Picture(_storable(f"file {path}"), path=path, error=message)


def _read_data_url(url: str) -> _Picture:
    try:
        return _picture(base64.b64decode(url.partition(",")[2]), None)
    except (binascii.Error, ValueError) as error:
        message = f"image: its data URL can't be decoded ({error})"
        return _Picture(hashlib.sha256(url.encode(errors="replace")).hexdigest(), error=message)
