"""`sophia check`: the verifier on answers from a file."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.errors import InputError
from stages.verifiers import Attempt
from stages.verifiers.pool import Judge


def check_file(path: Path) -> None:
    """Judge each line of a JSONL file and print a line of JSON for it, in order.

    Raises:
        InputError: the file can't be read, or a line is not an object with id, gold and response.
    """
    with Judge() as judge:
        attempts = ((row["id"], _attempt(row)) for row in _read_lines(path))
        for identity, found in judge.judge(attempts):
            reward = None if found.outcome_reward is None else int(found.outcome_reward)
            line = {
                "id": identity,
                "reward": reward,
                "status": found.status,
                "extracted_answer": found.extracted_answer,
            }
            sys.stdout.write(json.dumps(line) + "\n")


def _attempt(row: dict[str, Any]) -> Attempt:
    gold = row["gold"]
    return Attempt(gold=None if gold is None else str(gold), text=str(row["response"]))


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
            except json.JSONDecodeError as error:
                raise InputError(
                    f"Line {number} of {path} is not JSON: {error}.", "Write one object a line."
                ) from error
            if not isinstance(row, dict) or not {"id", "gold", "response"} <= row.keys():
                raise InputError(
                    f"Line {number} of {path} lacks id, gold or response.",
                    'Write lines such as {"id": "1", "gold": "3", "response": "So \\\\boxed{3}."}.',
                )
            yield row
