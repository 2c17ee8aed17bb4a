"""MathVerse, testmini, vision only: 788 questions that stand in the image (2403.14624).

The text asked is the authors' own query for models that reason, since `question` is empty here.
The options, which the image shows, are taken from `question_for_eval`, so that an answer by text
counts.

The authors extract with one LLM and judge with another; the project's verifier decides, and a
model beside it where `eval.llm_judge` is on.
"""

import re

from data.columns import Row
from stages.benchmarks import Question
from stages.benchmarks.published import Part, Published
from stages.benchmarks.rows import make_question, required_image

VERSION = "Vision Only"
OPTION = re.compile(r"^\s*\(?([A-H])\)?\s*[:.)]\s*(.+?)\s*$", re.MULTILINE)


def make(row: Row, part: Part) -> Question | None:
    """A row of the version that has no text."""
    if row["problem_version"] != VERSION:
        return None
    is_choice = row["question_type"] == "multi-choice"
    options = OPTION.findall(row["question_for_eval"] or "") if is_choice else []
    in_order = [letter for letter, _ in options] == [chr(65 + i) for i in range(len(options))]
    return make_question(
        str(row["sample_index"]),
        row["query_cot"],
        row["answer"],
        required_image(row["image"]),
        answer_type="choice" if is_choice else None,
        text=row["question_for_eval"] or "",
        options=tuple(option for _, option in options) if in_order else (),
        labels={
            "type": row["question_type"],
            "subject": row["metadata"]["subject"],
            "subfield": row["metadata"]["subfield"],
        },
    )


PUBLISHED = Published(
    name="mathverse",
    repo="AI4Math/MathVerse",
    parts=(Part(split="testmini", config="testmini"),),
    columns=(
        *("sample_index", "problem_version", "image", "answer", "question_type", "metadata"),
        *("query_cot", "question_for_eval"),
    ),
    make=make,
    is_llm_judged=True,
)
load = PUBLISHED.load
