r"""OlympiadBench without proofs: 6728 olympiad questions on mathematics and physics (2402.14008).

English and Chinese, with images (`OE_MM_...`) and without (`OE_TO_...`); `olympiadbench:OE_MM` asks
those with images alone. The question is asked in the authors' own words, in its own language.

Scored as the authors do where the answers are numbers: each within the error the row allows, in any
order, 1e-8 by default. Everything else is the project's verifier's: theirs takes any two answers in
Chinese for the same. Of several gold answers in a row theirs looks at the first alone; here each
will do.
"""

from collections.abc import Iterable

from data.columns import Row
from stages.benchmarks import Question
from stages.benchmarks.published import Part, Published
from stages.benchmarks.rows import (
    Measured,
    answer_of,
    judged,
    make_question,
    quantity_of,
    required_image,
)
from stages.verifiers import Judgement
from stages.verifiers.kinds.reading import read
from stages.verifiers.kinds.values import Quantity

CONFIGS = (
    *("OE_MM_maths_en_COMP", "OE_MM_maths_zh_CEE", "OE_MM_maths_zh_COMP"),
    *("OE_MM_physics_en_COMP", "OE_MM_physics_zh_CEE", "OE_TO_maths_en_COMP"),
    *("OE_TO_maths_zh_CEE", "OE_TO_maths_zh_COMP", "OE_TO_physics_en_COMP"),
    "OE_TO_physics_zh_CEE",
)
MOST_IMAGES = 9
DEFAULT_ERROR = 1e-8
"""Where a row gives none; of numbers below 1 it is relative, or 6.63e-34 would be zero."""
LEEWAY = 1.01
"""What the authors multiply a row's error by."""
ROUNDING = 1e-12

ENGLISH = (
    "The following is an open-ended problem from an International {subject} competition. {type}"
    "Please calculate the answer according to the given requirements and the information provided. "
    "Please use LaTeX format to represent the variables and formulas used in the solution process "
    'and results. Please end your solution with "So the final answer is {box}." and give the '
    "result explicitly{unit}."
)
CHINESE = (
    "以下是中国{subject}竞赛中的解答题{type}。请根据题目的要求和所提供的信息计算得出答案。"
    "解答过程和结果中使用的变量和公式请使用LaTeX格式表示。"
    "请在最后以“所以最终答案是{box}。”显式给出结果{unit}。"
)
TYPES = {
    "Numerical": ("a numerical value", "数值"),
    "Expression": ("an expression", "表达式"),
    "Equation": ("an equation", "方程"),
    "Interval": ("an interval", "区间"),
}


def make(row: Row, part: Part) -> Question:
    """A row of one configuration."""
    parts = [row["context"], row["question"]] if row["question"] else []
    golds = [str(answer) for answer in row["final_answer"] or []]
    numbered = {number: row.get(f"image_{number}") for number in range(1, MOST_IMAGES + 1)}
    images = dict(enumerate(row.get("images") or [], 1)) or numbered
    if "_MM_" in part.name and not any(images.values()):
        images = required_image(None)
    return make_question(
        f"{part.name}/{row['id']}",
        "\n".join(filter(None, parts)),
        golds[0] if golds else None,
        images,
        hint=prompt_of(row, part.name),
        alternatives=tuple(golds[1:]),
        details={
            "type": row["answer_type"],
            "error": row["error"],
            "unit": row["unit"],
        },
        labels={
            "subject": row["subject"],
            "language": "Chinese" if "_zh_" in part.name else "English",
            "images": "with images" if "_MM_" in part.name else "without images",
            "type": row["answer_type"],
            "subfield": row["subfield"],
        },
    )


def prompt_of(row: Row, part: str) -> str:
    """The authors' instruction for a row, in its language."""
    is_physics, is_chinese = "_physics_" in part, "_zh_" in part
    several = bool(row["is_multiple_answer"])
    kinds = [name.strip() for name in (row["answer_type"] or "").split(",")]
    # A tuple means different things, so the authors say nothing of its type.
    known = [TYPES[name][is_chinese] for name in kinds if name in TYPES]
    names = known if len(known) == len(kinds) else []
    if is_chinese:
        box = r"\boxed{用英文逗号连接的多个答案}" if several else r"\boxed{答案}"
        return CHINESE.format(
            subject="物理" if is_physics else "数学",
            type=_chinese_type(names, several),
            box=box + ("(单位)" if row["unit"] else ""),
            unit="，注意答案的单位不要放在\\boxed{}中" if row["unit"] else "",
        )
    connected = r"\boxed{multiple answers connected with commas}"
    return ENGLISH.format(
        subject="Physics" if is_physics else "Math",
        type=_english_type(names, several),
        box=(connected if several else r"\boxed{answer}") + ("(unit)" if row["unit"] else ""),
        unit=", note that the unit of the answer should not be included in \\boxed{}"
        if row["unit"]
        else "",
    )


def _english_type(names: list[str], several: bool) -> str:
    if not names:
        return ""
    if not several:
        return f"The answer of The problem should be {names[0]}. "
    if len(set(names)) == 1:
        return f"The problem has multiple answers, each of them should be {names[0]}. "
    return f"The problem has multiple answers, with the answers in order being {', '.join(names)}. "


def _chinese_type(names: list[str], several: bool) -> str:
    if not names:
        return ""
    if not several:
        return f"，答案类型为{names[0]}"
    if len(set(names)) == 1:
        return f"，题目有多个答案，答案类型均为{names[0]}"
    return f"，题目有多个答案，答案类型分别为{'、'.join(names)}"


def score(question: Question, text: str) -> Judgement | None:
    """The authors' tolerance, where all answers are numbers."""
    answer = answer_of(text, "number")
    if answer is None or question.details["type"] in ("Tuple", "Interval", "Equation"):
        return None
    if (given := _numbers(answer)) is None:
        return None
    unit = read(f"1 {question.details['unit'] or ''}")
    asked = unit.unit if isinstance(unit, Quantity) else None
    if any(each.unit not in (None, asked) for each in given):
        return None  # it may be the same in other units
    golds = (question.sample.answer or "", *question.alternatives)
    same = [_same(_numbers(gold), given, question.details["error"]) for gold in golds]
    if None in same and True not in same:
        return None
    return judged(True in same, answer, "olympiadbench")


def _same(golds: list[Measured] | None, given: list[Measured], error: str | None) -> bool | None:
    """Whether numbers are the gold ones; None where those are no numbers."""
    if golds is None or len(golds) != len(given):
        return None if golds is None else False
    values = [each.value for each in golds], [each.value for each in given]
    return _match(*values, _errors(error, len(golds)))


def _numbers(text: str) -> list[Measured] | None:
    """Numbers with commas between them; a plus-minus is two."""
    plain = text.strip().strip("$").replace("$", "").replace("\\,", "").replace("，", ",")
    found: list[Measured] = []
    for part in plain.split(","):
        signs = [part.replace("\\pm", sign) for sign in "+-"] if "\\pm" in part else [part]
        numbers = [quantity_of(each) for each in signs]
        found += [number for number in numbers if number is not None]
        if None in numbers:
            return None
    return found


def _errors(text: str | None, number: int) -> list[float | None]:
    """The error that each answer may have; one for all where there is one; None: none is given."""
    found = [float(part) if part.strip() else None for part in (text or "").split(",")]
    return found if len(found) == number else found[:1] * number


def _match(golds: Iterable[float], given: list[float], errors: Iterable[float | None]) -> bool:
    """Whether each gold number has a given one of its own that is near enough."""
    left = list(given)
    for gold, error in zip(golds, errors, strict=True):
        allowed = DEFAULT_ERROR * min(1.0, abs(gold)) if error is None else LEEWAY * error
        near = [value for value in left if abs(value - gold) <= allowed + ROUNDING * abs(gold)]
        if not near:
            return False
        left.remove(min(near, key=lambda value: abs(value - gold)))
    return True


PUBLISHED = Published(
    name="olympiadbench",
    repo="Hothan/OlympiadBench",
    parts=tuple(Part(split="train", config=config) for config in CONFIGS),
    columns=(
        *("id", "subfield", "context", "question", "final_answer", "is_multiple_answer", "unit"),
        *("answer_type", "error", "subject"),
    ),
    make=make,
    score=score,
)
load = PUBLISHED.load
