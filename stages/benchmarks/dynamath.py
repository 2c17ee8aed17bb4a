"""DynaMath: 501 questions in 10 variants each (2411.00836).

Answers are asked for as JSON, numbers with three decimals. Scored as the authors do: a number may
differ by 0.001, an option by nothing, and a text must hold the gold one. The mean over all variants
is the average case; a question that is right in all ten counts in the worst case.
"""

import json
import re

from data.columns import Row
from stages.benchmarks import Question
from stages.benchmarks.published import Part, Published
from stages.benchmarks.rows import (
    answer_of,
    final_part,
    judged,
    letters_of,
    make_question,
    number_of,
    required_image,
    says,
)
from stages.verifiers import Judgement
from stages.verifiers.responses.boxes import last_box

TOLERANCE = 0.001
ROUNDING = 1e-9
"""So that 2.001 is within 0.001 of 2, whatever binary fractions say."""
PROMPT = """## Question
{question}

## Answer Instruction
Please provide an answer to the question outlined above. Your response should adhere to the \
following JSON format, which includes two keys: 'solution' and 'short answer'. The 'solution' key \
can contain detailed steps needed to solve the question, and the 'short answer' key should provide \
a concise response. {instruction}

Example of expected JSON response format:

{{
    "solution": "[Detailed step-by-step explanation]",
    "short answer": "[Concise Answer]"
}}"""
INSTRUCTIONS = {
    "multiple choice": "Provide the corresponing choice option in the 'short answer' key, such as "
    "'A', 'B', 'C', or 'D'.",
    "float": "Format the answer as a three-digit floating-point number and provide it in the "
    "'short answer' key.",
}
KINDS = {"multiple choice": "choice", "float": "number"}
OTHERWISE = "Float numbers in the answer should be formatted as three-digit floating-point numbers."
SOLUTION = re.compile(r"""["']solution["']\s*:""")
SHORT_ANSWER = re.compile(r"""["']short[ _]answer["']\s*:\s*(?:"([^"\n]*)"|([^,}\n]+))""")


def make(row: Row, part: Part) -> Question:
    """One variant of a question."""
    kind = row["answer_type"]
    asked = PROMPT.format(question=row["question"], instruction=INSTRUCTIONS.get(kind, OTHERWISE))
    return make_question(
        f"{row['id']}/{part.split.removeprefix('sample_variant')}",
        asked if row["question"] else None,
        row["ground_truth"],
        required_image(row["decoded_image"]),
        answer_type="choice" if kind == "multiple choice" else None,
        text=row["question"] or "",
        cluster=str(row["id"]),
        details={"kind": kind},
        labels={"subject": row["subject"], "type": kind, "level": str(row["knowledge_level"])},
    )


def short_answer(text: str, kind: str = "") -> str | None:
    """What a response gives as short answer; a marked or boxed answer where it has no JSON.

    Args:
        text: the response.
        kind: of the gold answer, as `extract_answer` takes it.
    """
    tail = final_part(text)
    if found := SHORT_ANSWER.findall(tail):
        quoted, plain = found[-1]
        try:
            return str(json.loads(f'"{quoted}"')) if quoted else plain.strip()
        except ValueError:  # a backslash of LaTeX, which is no JSON
            return str(quoted)
    if SOLUTION.search(tail):  # JSON without the key: its last line is no answer
        return box.content if (box := last_box(tail)) else None
    return answer_of(text, kind)


def score(question: Question, text: str) -> Judgement | None:
    """The authors' rule for each type of answer."""
    kind, gold = question.details["kind"], (question.sample.answer or "").strip()
    answer = short_answer(text, KINDS.get(kind, ""))
    if answer is None or not answer.strip():
        return judged(False, None, "dynamath")
    if kind == "multiple choice":
        same = letters_of(answer, ()) == {gold}
    elif kind == "float":
        value, wanted = number_of(answer), number_of(gold)
        if wanted is None:
            return None
        same = value is not None and abs(value - wanted) <= TOLERANCE + ROUNDING
    else:
        same = says(answer, gold)
    return judged(same, answer, "dynamath")


PUBLISHED = Published(
    name="dynamath",
    repo="DynaMath/DynaMath_Sample",
    parts=tuple(Part(split=f"sample_variant{number}") for number in range(1, 11)),
    columns=(
        *("id", "question", "decoded_image", "ground_truth", "answer_type", "subject"),
        "knowledge_level",
    ),
    make=make,
    score=score,
    has_variants=True,
)
load = PUBLISHED.load
