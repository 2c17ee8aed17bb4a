"""`sophia check`: the verifier on answers from a file."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.rows import read_tolerance
from stages.verifiers import Attempt, explain
from stages.verifiers.pool import Judge


def check_file(path: Path, explained: str | None = None) -> None:
    """Judge each line of a JSONL file and print a line of JSON for it, in order.

    Args:
        path: the file.
        explained: the id of the one line to judge, saying how its gold answer was read and which
            rule decided; None: judge all.

    Raises:
        InputError: the file can't be read, a line is not an object with id, gold and response, or
            no line has the id.
    """
    rows: Iterator[dict[str, Any]] = _read_lines(path)
    if explained is not None:
        rows = iter([row for row in rows if str(row["id"]) == explained][:1])
    judged = 0
    with Judge() as judge:
        attempts = ((row, _attempt(row)) for row in rows)
        for row, found in judge.judge(attempts):
            judged += 1
            line = {
                "id": row["id"],
                "reward": _plain(found.outcome_reward),
                "status": found.status,
                "extracted_answer": found.extracted_answer,
            }
            if explained is not None:
                line |= {"rule": found.verifier, **explain(_attempt(row))}
            sys.stdout.write(_line(line, is_readable=explained is not None) + "\n")
    if explained is not None and not judged:
        raise InputError(f"{path} has no line with the id {explained}.", "Give an id that it has.")


def _line(row: dict[str, Any], is_readable: bool) -> str:
    """A row as JSON, in plain ASCII unless it is for people and their terminal can show it."""
    text = json.dumps(row, ensure_ascii=not is_readable)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(row)
    return text


def _plain(reward: float | None) -> float | None:
    """0 or 1 as they are; a reward in between is one of OCR or free text."""
    return int(reward) if reward in (0.0, 1.0) else reward


def _attempt(row: dict[str, Any]) -> Attempt:
    gold, choices = row["gold"], row.get("choices")
    return Attempt(
        gold=None if gold is None else str(gold),
        choices=tuple(str(choice) for choice in choices) if isinstance(choices, list) else (),
        text=_text(row, "response"),
        question=_text(row, "question"),
        hint=_text(row, "hint"),
        tolerance=_tolerance(row),
        answer_type=_text(row, "answer_type"),
    )


def _text(row: dict[str, Any], name: str) -> str | None:
    return None if row.get(name) is None else str(row[name])


def _tolerance(row: dict[str, Any]) -> str | None:
    try:
        return read_tolerance(row.get("tolerance"))
    except ValueError as error:
        raise InputError(
            f"The tolerance of {row['id']} can't be read: {error}.", "Write 0.01 or 1%."
        ) from error


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(
            f"{path} can't be read: {error.strerror}.", "Give the path of a JSONL file."
        ) from error
    with lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:  # numbers or brackets without end, too
                raise InputError(
                    f"Line {number} of {path} is not JSON: {error}.", "Write one object a line."
                ) from error
            if not isinstance(row, dict) or not {"id", "gold", "response"} <= row.keys():
                raise InputError(
                    f"Line {number} of {path} lacks id, gold or response.",
                    'Write lines such as {"id": "1", "gold": "3", "response": "So \\\\boxed{3}."}.',
                )
            yield row
