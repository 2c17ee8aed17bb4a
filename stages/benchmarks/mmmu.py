"""MMMU, validation: 900 questions of college subjects, 847 with options and 53 open (2311.16502).

Images are mentioned in questions and options as `<image n>`. A gold answer that is a list in text
form holds answers of which each will do.

Scored as the authors do, but for their random guess where no option can be read from a response:
that is no answer here. Boxed answers, which their rules don't know, are read first. The paper has a
model judge the answers (`eval.llm_judge`).
"""

import re

from data.columns import Row
from stages.benchmarks import Question
from stages.benchmarks.published import Part, Published
from stages.benchmarks.rows import (
    NUMBER,
    final_part,
    judged,
    listed,
    make_question,
    parse_list,
    read_letter,
)
from stages.verifiers import Judgement
from stages.verifiers.responses.boxes import BOX
from stages.verifiers.responses.extract import extract_answer

SUBJECTS = [
    "Accounting",
    "Agriculture",
    "Architecture_and_Engineering",
    "Art",
    "Art_Theory",
    "Basic_Medical_Science",
    "Biology",
    "Chemistry",
    "Clinical_Medicine",
    "Computer_Science",
    "Design",
    "Diagnostics_and_Laboratory_Medicine",
    "Economics",
    "Electronics",
    "Energy_and_Power",
    "Finance",
    "Geography",
    "History",
    "Literature",
    "Manage",
    "Marketing",
    "Materials",
    "Math",
    "Mechanical_Engineering",
    "Music",
    "Pharmacy",
    "Physics",
    "Psychology",
    "Public_Health",
    "Sociology",
]
IMAGES = tuple(f"image_{number}" for number in range(1, 8))
INSTRUCTIONS = {
    True: "Answer with the option's letter from the given choices directly.",
    False: "Answer the question using a single word or phrase.",
}
"""Whether there are options -> what stands below the question."""
INDICATORS = re.compile(
    r"(?:could be|would be|\bso\b|\bis\b|thus|therefore|final|answer|result)", re.IGNORECASE
)
DOUBT = re.compile(r"\b(?:either|or)\b", re.IGNORECASE)
LONGEST_SHOWN = 500
SENTENCE = re.compile(r"\.\s(?=[A-Z])|\n")


def make(row: Row, part: Part) -> Question:
    """A row of one subject."""
    is_choice = row["question_type"] == "multiple-choice"
    answer = row["answer"]
    golds = parse_list(answer) if (answer or "").startswith("[") and not is_choice else [answer]
    options = parse_list(row["options"]) if is_choice else []
    parts = [row["question"], *([listed(options)] if options else []), INSTRUCTIONS[is_choice]]
    return make_question(
        row["id"],
        "\n\n".join(parts) if row["question"] else None,
        golds[0] if golds else None,
        {number: row.get(column) for number, column in enumerate(IMAGES, 1)},
        answer_type="choice" if is_choice else None,
        text=row["question"] or "",
        options=tuple(options),
        alternatives=tuple(golds[1:]),
        labels={
            "subject": part.name,
            "type": row["question_type"],
            "difficulty": row["topic_difficulty"],
        },
    )


def score(question: Question, text: str) -> Judgement | None:
    """The authors' rules for options and for open answers."""
    sample = question.sample
    tail = final_part(text)
    if question.options:
        letter = read_letter(text, question.options)
        return judged(letter == sample.answer, letter, "mmmu")
    marked = extract_answer(text)
    if marked is None and BOX.search(tail):
        return judged(False, None, "mmmu")
    golds = (sample.answer or "", *question.alternatives)
    answers = open_answers(marked or tail)
    if not any(DOUBT.search(gold) for gold in golds):
        answers = [answer for answer in answers if not DOUBT.search(answer)]
    found = {_normal(each) for answer in answers for each in (answer, *NUMBER.findall(answer))}
    correct = any(_agree(_normal(gold), each) for gold in golds for each in found)
    return judged(correct, marked or (answers[-1][:LONGEST_SHOWN] if answers else None), "mmmu")


def open_answers(tail: str) -> list[str]:
    """What an open response may be read as: the ends of its sentences that sound like results."""
    sentences = [part.strip() for part in SENTENCE.split(tail.strip()) if part.strip()]
    keys: list[str] = []
    for number, sentence in enumerate(sentences, 1):
        is_last = number == len(sentences)
        if INDICATORS.search(sentence) or (is_last and "=" in sentence):
            phrase = INDICATORS.split(sentence)[-1].rpartition("=")[2].strip(" :,.*$")
            keys += [phrase] if phrase else []
    return keys or [tail.strip()]


def _normal(text: str) -> str | float:
    """A number rounded to two decimals, or a text in lower case."""
    plain = text.strip().replace(",", "").strip("$% ")
    if NUMBER.fullmatch(plain):
        return round(float(plain.replace("−", "-")), 2)
    return text.strip().lower()


def _agree(gold: str | float, answer: str | float) -> bool:
    """Equal numbers, or a gold text whose words are found in the answer."""
    if isinstance(gold, str) and isinstance(answer, str):
        return re.search(rf"(?<!\w){re.escape(gold)}(?!\w)", answer) is not None
    return gold == answer


PUBLISHED = Published(
    name="mmmu",
    repo="MMMU/MMMU",
    parts=tuple(Part(split="validation", config=subject) for subject in SUBJECTS),
    columns=(
        *("id", "question", "options", "answer", "question_type", "topic_difficulty"),
        *IMAGES,
    ),
    make=make,
    is_llm_judged=True,
    score=score,
)
load = PUBLISHED.load
