"""An evaluation as the table that VLMEvalKit keeps its predictions in, for others to score anew."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data import tables
from data.errors import InputError
from data.records import Attempted

FIRST = ("index", "id", "question")
LAST = ("answer", "prediction", "finish_reason", "hit")
COLUMNS = (
    *("sample_id", "rollout_index", "text", "finish_reason", "outcome_reward", "gold", "labels"),
    *("question", "choices"),
)


def export_predictions(evaluation: Path, file: Path, sample: int = 0) -> int:
    """Write one answer to each question, as tab-separated values.

    The columns are `index` (counted from 0), `id` (the benchmark's own), `question` (as it was
    asked), `A`, `B`, ... (the options), the sub-scores' groups, `answer` (the gold one),
    `prediction` (what the model wrote, thinking and all), `finish_reason`, and `hit` (our score,
    empty where it was not judged).

    Args:
        evaluation: a folder under evals/.
        file: the table, which is replaced where it is there.
        sample: which of the answers to each question.

    Returns:
        How many rows were written.

    Raises:
        InputError: the folder holds no complete evaluation, or none with so many answers.
    """
    if not tables.is_complete(evaluation):
        raise InputError(
            f"{evaluation} holds no complete evaluation.", "Give a folder such as RUN/evals/mmmu."
        )
    rows = [_exported(row) for row in _answers(evaluation, sample)]
    if not rows:
        raise InputError(f"{evaluation} has no answer number {sample}.", "They are counted from 0.")
    between = sorted({name for row in rows for name in row} - {*FIRST, *LAST})
    options = [name for name in between if len(name) == 1]
    labels = [name for name in between if len(name) > 1]
    temporary = file.with_name(f".{file.name}.part")
    with temporary.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, [*FIRST, *options, *labels, *LAST], delimiter="\t")
        writer.writeheader()
        writer.writerows({"index": index, **row} for index, row in enumerate(rows))
    temporary.replace(file)
    return len(rows)


def _answers(evaluation: Path, sample: int) -> Iterator[dict[str, Any]]:
    for path in tables.shards(evaluation):
        for row in tables.read_rows(path, Attempted, COLUMNS):
            if row["rollout_index"] == sample:
                yield row


def _exported(row: dict[str, Any]) -> dict[str, Any]:
    options = {chr(65 + index): option for index, option in enumerate(row["choices"] or [])}
    return {
        **json.loads(row["labels"] or "{}"),
        **options,
        "id": row["sample_id"],
        "question": row["question"],
        "answer": row["gold"],
        "prediction": row["text"],
        "finish_reason": row["finish_reason"],
        "hit": None if row["outcome_reward"] is None else int(row["outcome_reward"]),
    }
