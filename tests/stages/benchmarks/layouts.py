"""Small sets in the layouts that the benchmarks were published in, with invented questions.

`write_all(ROOT)` puts a local copy of each under a folder, as `sophia eval fetch` does.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
from datasets import Features, Image, List, Value

from stages.benchmarks.dynamath import PUBLISHED as DYNAMATH
from stages.benchmarks.mathverse import PUBLISHED as MATHVERSE
from stages.benchmarks.mathvision import PUBLISHED as MATHVISION
from stages.benchmarks.mathvista import PUBLISHED as MATHVISTA
from stages.benchmarks.mmmu import PUBLISHED as MMMU
from stages.benchmarks.mmmu_pro import PUBLISHED as MMMU_PRO
from stages.benchmarks.mv_math import PUBLISHED as MV_MATH
from stages.benchmarks.olympiadbench import PUBLISHED as OLYMPIADBENCH
from stages.benchmarks.published import Part, Published
from tests.data.pictures import png

TEXT, INTEGER, NUMBER, TRUTH = Value("string"), Value("int64"), Value("float64"), Value("bool")
datasets.disable_progress_bars()

ALL = (MMMU, MMMU_PRO, MATHVISTA, MATHVERSE, DYNAMATH, MATHVISION, MV_MATH, OLYMPIADBENCH)
Rows = list[dict[str, Any]]


def texts(names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split(), TEXT)


def image(colour: int) -> dict[str, Any]:
    return {"bytes": png(colour), "path": f"{colour}.png"}


FEATURES: Mapping[str, Mapping[str, Any]] = {
    "mmmu": texts("id question options explanation")
    | {f"image_{number}": Image() for number in range(1, 8)}
    | texts("img_type answer topic_difficulty question_type subfield"),
    "mmmu_pro": {"id": TEXT, "image": Image(), **texts("options answer subject")},
    "mathvista": {
        **texts("pid question image"),
        "decoded_image": Image(),
        "choices": List(TEXT),
        "unit": TEXT,
        "precision": NUMBER,
        **texts("answer question_type answer_type"),
        "metadata": {
            **texts("category context grade"),
            "img_height": INTEGER,
            "img_width": INTEGER,
            "language": TEXT,
            "skills": List(TEXT),
            **texts("source split task"),
        },
        "query": TEXT,
    },
    "mathverse": {
        **texts("sample_index problem_index problem_version question"),
        "image": Image(),
        **texts("answer question_type"),
        "metadata": texts("split source subject subfield"),
        **texts("query_wo query_cot question_for_eval"),
    },
    "dynamath": {
        **texts("id question image"),
        "decoded_image": Image(),
        **texts("ground_truth answer_type subject knowledge_level"),
    },
    "mathvision": {
        **texts("id question"),
        "options": List(TEXT),
        "image": TEXT,
        "decoded_image": Image(),
        **texts("answer solution"),
        "level": INTEGER,
        "subject": TEXT,
    },
    "olympiadbench": {
        "id": INTEGER,
        "question": TEXT,
        "solution": List(TEXT),
        "final_answer": List(TEXT),
        "context": TEXT,
        **{f"image_{number}": Image() for number in range(1, 6)},
        **texts("modality difficulty"),
        "is_multiple_answer": TRUTH,
        **texts("unit answer_type error question_type subfield subject language"),
    },
}


def mmmu(part: Part) -> Rows:
    choice = {
        "id": f"validation_{part.config}_1",
        "question": "<image 2> shows a bar. Which of these is as tall?",
        "options": "['<image 1>', '<image 3>', 'neither']",
        **{f"image_{number}": image(number) for number in (1, 2, 3)},
        "answer": "B",
        "topic_difficulty": "Easy",
        "question_type": "multiple-choice",
    }
    number = {
        "id": f"validation_{part.config}_2",
        "question": "<image 1> What is the slope?",
        "options": "[]",
        "image_1": image(4),
        "answer": "['24/7', '3.429']",
        "topic_difficulty": "Hard",
        "question_type": "open",
    }
    return [choice, number] if part.config == "Math" else [number]


def mmmu_pro(part: Part) -> Rows:
    options = str([f"reason {letter}" for letter in "abcdefghij"])
    return [
        {
            "id": f"test_Physics_{number}",
            "image": image(number),
            "options": options,
            "answer": "CJ"[number],
            "subject": "Physics",
        }
        for number in range(2)
    ]


def mathvista(part: Part) -> Rows:
    def row(pid: str, **own: Any) -> dict[str, Any]:
        metadata = {"task": "figure question answering", "category": "math-targeted-vqa"}
        listed = "".join(
            f"\n({chr(65 + i)}) {text}" for i, text in enumerate(own.get("choices", ()))
        )
        unit = f" (Unit: {own['unit']})" if "unit" in own else ""
        shared = {
            "pid": pid,
            "question": "How high is the bar?",
            "image": f"images/{pid}.jpg",
            "decoded_image": image(int(pid)),
            "question_type": "free_form",
            "metadata": {**metadata, "grade": "high school", "skills": ["statistical reasoning"]},
            "query": f"Hint: Answer it.\nQuestion: How high is the bar?{unit}"
            + (f"\nChoices:{listed}" if listed else ""),
        }
        return {**shared, **own}

    choices = ["red", "blue", "red"]
    return [
        row("1", question_type="multi_choice", answer_type="text", choices=choices, answer="red"),
        row("2", answer_type="integer", answer="12", unit="cm"),
        row("3", answer_type="float", answer="1.2", precision=1.0),
        row("4", answer_type="list", answer="[1, 2.5]"),
    ]


def mathverse(part: Part) -> Rows:
    def row(index: int, version: str, kind: str) -> dict[str, Any]:
        asked = "How large is the angle?"
        options = "\nChoices:\nA:30°\nB:60°" if kind == "multi-choice" else ""
        return {
            "sample_index": str(index),
            "problem_index": "1",
            "problem_version": version,
            "question": "" if version == "Vision Only" else asked + options,
            "image": image(index),
            "answer": "B" if options else "60°",
            "question_type": kind,
            "metadata": {"subject": "Plane Geometry", "subfield": "Angle"},
            "query_wo": "Please directly answer the question.",
            "query_cot": "Please first conduct reasoning, and then answer the question.",
            "question_for_eval": asked + options,
        }

    return [
        row(1, "Text Dominant", "multi-choice"),
        row(2, "Vision Only", "multi-choice"),
        row(3, "Vision Only", "free-form"),
    ]


def dynamath(part: Part) -> Rows:
    variant = int(part.split.removeprefix("sample_variant"))
    return [
        {
            "id": str(number),
            "question": f"What is the {kind} of figure {variant}?",
            "image": f"images/{number}.png",
            "decoded_image": image(10 * number + variant),
            "ground_truth": truth,
            "answer_type": kind,
            "subject": "plane geometry",
            "knowledge_level": "high school",
        }
        for number, kind, truth in ((1, "float", f"{variant}.700000000000001"), (2, "text", "odd"))
    ]


def mathvision(part: Part) -> Rows:
    def row(identity: str, options: list[str], answer: str) -> dict[str, Any]:
        return {
            "id": identity,
            "question": "<image1> How long is the side?",
            "options": options,
            "image": f"images/{identity}.jpg",
            "decoded_image": image(int(identity)),
            "answer": answer,
            "level": 3,
            "subject": "metric geometry - length",
        }

    return [
        row("1", ["2", "3", "4", "5", "6"], "B"),
        row("2", ["A", "B", "C", "D", "E"], "E"),
        row("3", [], "\x0crac{36}{13}"),
        row("4", [], "3.14"),
        row("5", [f"<image{number}>" for number in range(2, 7)], "D"),
        row("6", [], "15") | {"question": "<image1>"},
    ]


def olympiadbench(part: Part) -> Rows:
    is_english = "_en_" in part.name
    return [
        {
            "id": number,
            "question": "How long is the side?" if is_english else "求速度。",
            "solution": ["..."],
            "final_answer": [answer, "\\sqrt{17}"] if number == 1 else [answer],
            "context": None if is_english else "一辆车在行驶。",
            "image_1": image(number) if "_MM_" in part.name else None,
            "is_multiple_answer": "," in answer,
            "unit": "m" if number == 1 else None,
            "answer_type": "Numerical",
            "error": "1e-1" if number == 1 else None,
            "question_type": "Open-ended",
            "subfield": "Geometry" if is_english else "力学",
            "subject": "Math" if is_english else "物理",
            "language": "English" if is_english else "Chinese",
        }
        for number, answer in ((1, "3.5"), (2, "1,2"))
    ]


MV_MATH_ROWS: Rows = [
    {
        "problem_id": number,
        "question": question,
        "input_image": ["a.png", "b.png"],
        "is_multi_img": True,
        "answer": answer,
        "answer_type": kind,
        "difficulty": "Low",
        "grade": "Junior",
        "subject": "Solid Geometry",
        "image_relavance": "1",
        "analysis": "...",
    }
    for number, kind, question, answer in (
        (1, "choice", "Which is a cube?\nA.\n\n<image_1>\nB.\n\n<image_2>", "B"),
        (2, "single-step", "<image_1>\n<image_2>\nHow large is it?", r"12 \#\# 12.0"),
        (3, "multi-step", "<image_1> <image_2> (1) How wide? (2) How high?", "（1）12；（2）30."),
    )
]
ROWS = {
    "mmmu": mmmu,
    "mmmu_pro": mmmu_pro,
    "mathvista": mathvista,
    "mathverse": mathverse,
    "dynamath": dynamath,
    "mathvision": mathvision,
    "olympiadbench": olympiadbench,
}


def write_part(root: Path, published: Published, part: Part, rows: Sequence[Any]) -> None:
    features = FEATURES[published.name]
    columns = {name: [row.get(name) for row in rows] for name in features}
    dataset = datasets.Dataset.from_dict(columns, features=Features(dict(features)))
    dataset.save_to_disk(root / published.name / part.name / part.split)


def write_mv_math(root: Path, rows: Sequence[Any] = MV_MATH_ROWS) -> None:
    folder = root / "mv_math"
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "MV-MATH.json").write_text(json.dumps(rows, ensure_ascii=False))
    for number, name in enumerate(("a.png", "b.png")):
        (folder / "images" / name).write_bytes(png(number))


def write_all(root: Path) -> None:
    for published in ALL:
        if published.name == "mv_math":
            write_mv_math(root)
            continue
        for part in published.parts:
            write_part(root, published, part, ROWS[published.name](part))
