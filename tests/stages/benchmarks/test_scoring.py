"""Each benchmark's own rule, on responses as models write them."""

import time
from pathlib import Path

import pytest

from stages.benchmark_verdicts import attempts_at
from stages.benchmarks import PAPER, Question, apply, load_benchmark
from stages.benchmarks.mmmu import open_answers
from stages.benchmarks.mmmu_pro import PUBLISHED as MMMU_PRO
from stages.benchmarks.mv_math import PUBLISHED as MV_MATH
from stages.benchmarks.mv_math import parts_of
from stages.benchmarks.olympiadbench import prompt_of
from stages.benchmarks.rows import letters_of, number_of, parse_list
from stages.verifiers.pool import Judge
from tests.stages.benchmarks import layouts

RIGHT, WRONG, NONE, PASSED_ON = "correct", "incorrect", "no_answer", None

CASES = [
    ("mmmu", "validation_Math_1", r"<think>(A)?</think>So \boxed{B}", RIGHT),
    ("mmmu", "validation_Math_1", "The answer is (B).", RIGHT),
    ("mmmu", "validation_Math_1", "B", RIGHT),
    ("mmmu", "validation_Math_1", "B. the second one", RIGHT),
    ("mmmu", "validation_Math_1", "Between (A) and (B) I take (A)", WRONG),
    ("mmmu", "validation_Math_1", "I can't see the bars, so it could be that it is neither", WRONG),
    ("mmmu", "validation_Math_1", "I can't say", NONE),
    ("mmmu", "validation_Math_1", "<think>(B)", NONE),
    ("mmmu", "validation_Math_2", "The slope is 3.43", RIGHT),
    ("mmmu", "validation_Math_2", r"\boxed{24/7}", RIGHT),
    ("mmmu", "validation_Math_2", "Thus the slope is 3.5.", WRONG),
    ("mathvista", "1", "It is A", RIGHT),
    ("mathvista", "1", r"\boxed{A}", RIGHT),
    ("mathvista", "1", r"\boxed{C}", RIGHT),
    ("mathvista", "1", r"\boxed{red}", RIGHT),
    ("mathvista", "1", r"\boxed{B}", WRONG),
    ("mathvista", "1", r"\boxed{7}, not (A)", WRONG),
    ("mathvista", "2", r"\boxed{12}", RIGHT),
    ("mathvista", "2", "Answer: 12.0 cm", RIGHT),
    ("mathvista", "2", "Answer: 13 cm", WRONG),
    ("mathvista", "3", r"\boxed{1.23}", RIGHT),
    ("mathvista", "3", r"\boxed{1.26}", WRONG),
    ("mathvista", "4", r"\boxed{[1, 2.5]}", RIGHT),
    ("mathvista", "4", r"\boxed{[2.5, 1]}", WRONG),
    ("mathvista", "4", r"\boxed{2.5}", WRONG),
    ("dynamath", "1/1", '{"solution": "...", "short answer": "1.700"}', RIGHT),
    ("dynamath", "1/1", '{"solution": "$\\frac{1}{2}$", "short answer": 1.7009}', RIGHT),
    ("dynamath", "1/1", '{"short answer": "1.702"}', WRONG),
    ("dynamath", "1/1", '{"short answer": "none"}', WRONG),
    ("dynamath", "1/1", r"</think>\boxed{1.7}", RIGHT),
    ("dynamath", "1/1", '{"short answer": ""}', NONE),
    ("dynamath", "1/1", '{"solution": "Near 1.7."}', NONE),
    ("dynamath", "1/1", '{"solution": "So it is $\\boxed{1.7}$."}', RIGHT),
    ("dynamath", "2/1", '{"short answer": "It is Odd."}', RIGHT),
    ("dynamath", "2/1", '{"short answer": "even"}', WRONG),
    ("mathvision", "4", r"\boxed{3.1416}", RIGHT),
    ("mathvision", "4", r"\boxed{3.15}", WRONG),
    ("mathvision", "1", r"\boxed{B}", PASSED_ON),
    ("mathvision", "1", "The answer is (A), (B) and (C).", WRONG),
    ("mathvision", "1", "(B)\nBecause the other sides add up to 7.", PASSED_ON),
    ("mv_math", "3", r"\boxed{(1) 12; (2) 30}", RIGHT),
    ("mv_math", "3", r"\boxed{(1) 12 cm; (2) 30 cm}", RIGHT),
    ("mv_math", "3", r"\boxed{(1) 12; (2) 31}", WRONG),
    ("mv_math", "3", r"\boxed{12}", WRONG),
    ("mv_math", "3", "(1) It is \\boxed{12}.\n\n(2) It is \\boxed{30}.", RIGHT),
    ("mv_math", "3", "(1) It is \\boxed{12}.\n\n(2) It is \\boxed{31}.", WRONG),
    ("mv_math", "2", r"\boxed{12}", PASSED_ON),
    ("olympiadbench", "OE_MM_maths_en_COMP/1", r"So the final answer is \boxed{3.55}.", RIGHT),
    ("olympiadbench", "OE_MM_maths_en_COMP/1", r"\boxed{3.7}", WRONG),
    ("olympiadbench", "OE_MM_maths_en_COMP/2", r"\boxed{2, 1}", RIGHT),
    ("olympiadbench", "OE_MM_maths_en_COMP/2", r"\boxed{1}", WRONG),
    ("olympiadbench", "OE_MM_maths_en_COMP/2", r"\boxed{1,2.001}", WRONG),
    ("olympiadbench", "OE_MM_maths_en_COMP/1", r"\boxed{\frac{7}{2}}", RIGHT),
    ("olympiadbench", "OE_MM_maths_en_COMP/1", r"\boxed{\sqrt{12.25}}", RIGHT),
    ("olympiadbench", "OE_MM_maths_en_COMP/1", r"\boxed{350 \text{ cm}}", PASSED_ON),
    ("olympiadbench", "OE_MM_maths_en_COMP/1", r"\boxed{4.12}", RIGHT),
    ("olympiadbench", "OE_MM_maths_en_COMP/1", r"\boxed{3.5, 4.12}", WRONG),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("benchmarks")
    layouts.write_all(root)
    return root


def find(root: Path, name: str, identity: str) -> tuple[Question, str, str | None]:
    benchmark = load_benchmark(name, 0, root)
    for question in benchmark.read(0, benchmark.num_questions):
        if question.sample.sample_id == identity:
            return question, name, identity
    raise AssertionError(identity)


@pytest.mark.parametrize(("name", "identity", "response", "status"), CASES)
def test_the_benchmarks_own_rule(
    root: Path, name: str, identity: str, response: str, status: str | None
) -> None:
    question, *_ = find(root, name, identity)
    rule = load_benchmark(name, 1, root).score
    assert rule is not None
    found = rule(question, response)
    assert (found.status if found else None) == status


@pytest.mark.parametrize(("letter", "status"), [("B", RIGHT), ("D", WRONG), ("A", WRONG)])
def test_options_that_are_the_same_are_told_apart_by_letter(letter: str, status: str) -> None:
    row = layouts.MV_MATH_ROWS[0] | {
        "question": "<image_1> <image_2> Which?\nA. (1)\nB. (1)(2)\nC. (2)(3)\nD. (1)(2)",
        "input_image": [{"bytes": b"1"}, {"bytes": b"2"}],
    }
    question = MV_MATH.make(row, MV_MATH.parts[0])
    assert question is not None and MV_MATH.score is not None
    found = MV_MATH.score(question, f"\\boxed{{{letter}}}")
    assert found is not None and found.status == status


def test_options_of_mmmu_pro_that_are_the_same_are_told_apart_by_letter() -> None:
    part = MMMU_PRO.parts[0]
    row = layouts.mmmu_pro(part)[0] | {"options": "['a', 'b', 'B', 'c']", "answer": "B"}
    for changed, options in (({}, ()), ({"answer": "D"}, ("a", "b", "B", "c"))):
        question = MMMU_PRO.make(row | changed, part)
        assert question is not None and question.options == options
    (attempt,) = attempts_at(
        MMMU_PRO.make(row, part), {"text": "Answer: B", "finish_reason": "stop"}
    )
    with Judge(num_workers=1) as judge:
        assert [found.status for _, found in judge.judge([(None, attempt)])] == ["correct"]


def test_a_rule_that_breaks_is_no_wrong_answer(root: Path) -> None:
    question, *_ = find(root, "mmmu", "validation_Math_2")
    rule = load_benchmark("mathvista", 1, root).score
    assert rule is not None
    found = apply(rule, question, "\\boxed{3}")  # it has none of the details that the rule needs
    assert found is not None
    assert (found.status, found.outcome_reward) == ("error", None)


def test_numbers_in_short_texts() -> None:
    assert number_of("about 1,234.5 m") == 1234.5
    assert number_of("12 (twelve)") == 12
    assert number_of("-3e-2") == -0.03
    assert number_of("none") is None


def test_lists_are_read_and_never_run() -> None:
    assert parse_list("['a', \"b's\"]") == ["a", "b's"]
    assert parse_list('["a", null]') == ["a", "None"]
    assert parse_list(["a", "b's"]) == ["a", "b's"], "some copies hold lists as lists"
    with pytest.raises(ValueError, match="no list"):
        parse_list("__import__('os').getcwd()")


def test_formulas_without_unknowns_are_numbers() -> None:
    assert number_of("2π") == pytest.approx(6.28318, abs=1e-5)
    assert number_of("\\frac{\\pi}{2} \\text{ cm}") == pytest.approx(1.5708, abs=1e-4)
    assert number_of("x = 3.5") == 3.5
    assert number_of("1/4") == 0.25
    for text in ("5:0", "v_0", "\\sqrt{-4}", "9^{9^{9^9}}", "7 or 8", "2x"):
        assert number_of(text) is None


def test_several_letters_are_not_one() -> None:
    assert letters_of("(A), (C), and (E).", ()) == {"A", "C", "E"}
    assert letters_of("B) odd", ()) == {"B"}


def test_parts_of_an_answer() -> None:
    assert parts_of("（1）12；（2）30.") == {"1": "12", "2": "30"}
    assert parts_of("12") == {}


def test_a_number_in_brackets_that_is_not_next_is_no_part() -> None:
    assert parts_of("(1) f(2) = 5; (2) B (3, 5)") == {"1": "f(2) = 5", "2": "B (3, 5)"}


@pytest.mark.parametrize(
    ("types", "said"),
    [
        ("Numerical", "The answer of The problem should be a numerical value. "),
        ("Tuple", ""),
        ("Tuple,Numerical", ""),
        (
            "Numerical,Equation",
            "The problem has multiple answers, with the answers in order being a numerical value, "
            "an equation. ",
        ),
    ],
)
def test_olympiadbench_says_what_type_of_answer_it_wants(types: str, said: str) -> None:
    row = {"answer_type": types, "is_multiple_answer": "," in types, "unit": None}
    assert prompt_of(row, "OE_TO_physics_en_COMP").startswith(
        "The following is an open-ended problem from an International Physics competition. "
        f"{said}Please calculate"
    )


def test_open_answers_are_how_sentences_end() -> None:
    assert open_answers("So the total = 1,234.567 m") == ["1,234.567 m"]
    assert open_answers("Long ago. The answer is Paris.")[-1] == "Paris"


@pytest.mark.parametrize("name", [name for name in PAPER if name not in ("mmmu_pro", "mathverse")])
@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" + "{" * 5000,
        "The answer is " + " " * 50_000 + "or",
        "Answer: " + "9" * 5000,
        "\\boxed{1e400}",
        "\\boxed{9^{9^{9^9}}}",
        '{"short answer": "' + "1" * 50_000 + '"}',
        "(1) " * 20_000,
        "\\boxed{" + "1," * 900 + "}",
        "is " * 30_000,
        "\x00\ud800",
        "",
    ],
)
def test_rules_survive_any_response(root: Path, name: str, text: str) -> None:
    benchmark = load_benchmark(name, 0, root)
    assert benchmark.score is not None
    began = time.monotonic()
    for question in benchmark.read(0, 4):
        found = benchmark.score(question, text)
        assert found is None or found.status in ("incorrect", "no_answer")
    assert time.monotonic() - began < 5
