"""An evaluation as the table that VLMEvalKit keeps its predictions in, for others to score anew.

VLMEvalKit scores `MODEL_DATASET.xlsx`, or `.tsv` with `PRED_FORMAT=tsv`: the table of the data set
as it has it, without the images, and a column `prediction`. Its index is its own, so the exact file
takes that table, which it keeps as `LMUData/DATASET.tsv`. Without it the answers are a table with
columns of the same names, for scorers that don't look anything up.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data import tables
from data.errors import ConfigError, InputError
from data.records import Attempted

FIRST = ("index", "id", "question")
LAST = ("answer", "prediction", "finish_reason", "hit")
COLUMNS = (
    *("sample_id", "rollout_index", "text", "finish_reason", "outcome_reward", "gold", "labels"),
    *("question", "choices", "prefill"),
)
NAMES = (
    *(("id",), ("pid",), ("sample_index",), ("qid", "varid"), ("source", "id")),
    *(("question_id",), ("problem_id",), ("index",)),
)
"""Columns by which VLMEvalKit's tables name a question as the benchmark itself does."""
LONGEST_CELL = 32_767
"""Characters that a cell of a workbook can hold."""


def export_predictions(
    evaluation: Path, file: Path, sample: int = 0, table: Path | None = None
) -> int:
    """Write one answer to each question, as tab-separated values or as a workbook.

    Args:
        evaluation: a folder under evals/.
        file: the table, which is replaced where it is there; `.tsv` or `.xlsx`.
        sample: which of the answers to each question.
        table: VLMEvalKit's own table of the benchmark. All its columns but the images are kept, of
            the questions that were answered, and `prediction` is added. Without it the columns are
            `index` (counted from 0), `id` (the benchmark's own), `question` (as it was asked), `A`,
            `B`, ... (the options), the sub-scores' groups, `answer`, `prediction` (what the model
            wrote, thinking and all), `finish_reason`, and `hit` (our score, if it was judged).

    Returns:
        How many rows were written.

    Raises:
        ConfigError: the file is of another kind.
        InputError: the folder holds no complete evaluation, or none with so many answers; the table
            is not of this benchmark; or an answer is too long for a workbook.
    """
    if file.suffix not in (".tsv", ".xlsx"):
        raise ConfigError(
            f"{file} is neither .tsv nor .xlsx.", "Name it as VLMEvalKit does: MODEL_DATASET.tsv."
        )
    if not tables.is_complete(evaluation):
        raise InputError(
            f"{evaluation} holds no complete evaluation.", "Give a folder such as RUN/evals/mmmu."
        )
    answers = {row["sample_id"]: row for row in _answers(evaluation, sample)}
    if not answers:
        raise InputError(f"{evaluation} has no answer number {sample}.", "They are counted from 0.")
    frame = _joined(answers, table) if table else _own(answers)
    _write(frame, file)
    return len(frame)


def _answers(evaluation: Path, sample: int) -> Iterator[dict[str, Any]]:
    for path in tables.shards(evaluation):
        for row in tables.read_rows(path, Attempted, COLUMNS):
            if row["rollout_index"] == sample:
                yield row


def _own(answers: Mapping[str, dict[str, Any]]) -> Any:
    """The answers in a table of our own making."""
    import pandas

    rows = [_exported(row) for row in answers.values()]
    between = sorted({name for row in rows for name in row} - {*FIRST, *LAST})
    options = [name for name in between if len(name) == 1]
    labels = [name for name in between if len(name) > 1]
    numbered = [{"index": index, **row} for index, row in enumerate(rows)]
    return pandas.DataFrame(numbered, columns=[*FIRST, *options, *labels, *LAST])


def _exported(row: dict[str, Any]) -> dict[str, Any]:
    options = {chr(65 + index): option for index, option in enumerate(row["choices"] or [])}
    return {
        **json.loads(row["labels"] or "{}"),
        **options,
        "id": row["sample_id"],
        "question": row["question"],
        "answer": row["gold"],
        "prediction": _written(row),
        "finish_reason": row["finish_reason"],
        "hit": None if row["outcome_reward"] is None else f"{row['outcome_reward']:g}",
    }


def _written(row: Mapping[str, Any]) -> str | None:
    """What the model wrote, behind what its chat template had written for it."""
    return None if row["text"] is None else (row["prefill"] or "") + row["text"]


def _joined(answers: Mapping[str, dict[str, Any]], table: Path) -> Any:
    """The rows of VLMEvalKit's table whose questions were answered, with the answers.

    A column that names the questions holds each of their names once, and mostly beside the gold
    answer that we have, too. Where there is none it is their text that must be found once.
    """
    import pandas

    try:
        theirs = pandas.read_csv(table, sep="\t", usecols=lambda name: name != "image")
    except (OSError, ValueError) as error:
        raise InputError(f"{table} can't be read ({error}).", "Give a .tsv of LMUData.") from error
    for keys in _names(theirs, answers):
        found = theirs[keys.isin(answers)].copy()
        ours = [answers[key] for key in keys[keys.isin(answers)]]
        if len(found) == len(answers) == keys[keys.isin(answers)].nunique() and _agree(found, ours):
            found["prediction"] = [_written(row) or "" for row in ours]
            return found
    raise InputError(
        f"{table} does not hold the questions of this evaluation.",
        "Give VLMEvalKit's table of the same benchmark, such as LMUData/MathVista_MINI.tsv.",
    )


def _names(theirs: Any, answers: Mapping[str, dict[str, Any]]) -> Iterator[Any]:
    """What the rows of a table may be called: by a column that names them, or by what they ask."""
    for names in NAMES:
        if set(names) <= set(theirs.columns):
            yield theirs[list(names)].astype(str).agg("/".join, axis=1)
    if "question" in theirs.columns:
        asked = {name: _squeezed(row["question"]) for name, row in answers.items()}
        yield theirs["question"].astype(str).map(lambda text: _asking(_squeezed(text), asked))


def _asking(question: str, asked: Mapping[str, str]) -> str:
    """The name of the one question whose text this is, among hints and options; or nothing."""
    found = [name for name, text in asked.items() if question and question in text]
    return found[0] if len(found) == 1 else ""


def _squeezed(text: str | None) -> str:
    """A question without spaces and mentions of images, which are numbered in different ways."""
    return re.sub(r"<\s*image[\s_]?\d*\s*>|\s+", "", text or "")


def _agree(theirs: Any, ours: list[dict[str, Any]]) -> bool:
    """Whether most gold answers are the same; a few of VLMEvalKit's are put in another way."""
    name = "answer" if "answer" in theirs.columns else "final_answer"
    if name not in theirs.columns:
        return False
    golds = [_plain(gold) for gold in theirs[name].astype(str)]
    same = [
        _plain(row["gold"]) in (gold, gold[2:-2]) for gold, row in zip(golds, ours, strict=True)
    ]
    return sum(same) > len(ours) / 2


def _plain(text: str | None) -> str:
    return (text or "").strip().casefold().removesuffix(".0")


def _write(frame: Any, file: Path) -> None:
    """The way VLMEvalKit writes it."""
    temporary = file.with_name(f".part.{file.name}")
    if file.suffix == ".tsv":
        frame.to_csv(temporary, sep="\t", index=False, encoding="utf-8", quoting=csv.QUOTE_ALL)
    else:
        longest = int(frame["prediction"].fillna("").str.len().max())
        if longest > LONGEST_CELL:
            raise InputError(
                f"An answer has {longest:,} characters, and a cell of a workbook holds "
                f"{LONGEST_CELL:,}.",
                "Write a .tsv, and set PRED_FORMAT=tsv for VLMEvalKit.",
            )
        printable = frame.map(lambda cell: _legal(cell) if isinstance(cell, str) else cell)
        printable.to_excel(temporary, index=False, engine="openpyxl")
    temporary.replace(file)


def _legal(text: str) -> str:
    """A text without the control characters that no workbook may hold."""
    return "".join(c for c in text if c >= " " or c in "\t\n\r")
