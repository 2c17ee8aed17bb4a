"""Each benchmark's own rule, on responses as models write them."""

from pathlib import Path

import pytest

from stages.benchmarks import Question, load_benchmark
from stages.benchmarks.dynamath import value_of
from stages.benchmarks.mmmu import open_answers
from stages.benchmarks.mv_math import parts_of
from stages.benchmarks.rows import number_of, parse_list
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
    ("dynamath", "2/1", '{"short answer": "It is Odd."}', RIGHT),
    ("dynamath", "2/1", '{"short answer": "even"}', WRONG),
    ("mathvision", "4", r"\boxed{3.1416}", RIGHT),
    ("mathvision", "4", r"\boxed{3.15}", WRONG),
    ("mathvision", "1", r"\boxed{B}", PASSED_ON),
    ("mv_math", "3", r"\boxed{(1) 12; (2) 30}", RIGHT),
    ("mv_math", "3", r"\boxed{(1) 12 cm; (2) 30 cm}", RIGHT),
    ("mv_math", "3", r"\boxed{(1) 12; (2) 31}", WRONG),
    ("mv_math", "3", r"\boxed{12}", WRONG),
    ("mv_math", "2", r"\boxed{12}", PASSED_ON),
    ("olympiadbench", "OE_MM_maths_en_COMP/1", r"So the final answer is \boxed{3.55}.", RIGHT),
    ("olympiadbench", "OE_MM_maths_en_COMP/1", r"\boxed{3.7}", WRONG),
    ("olympiadbench", "OE_MM_maths_en_COMP/2", r"\boxed{2, 1}", RIGHT),
    ("olympiadbench", "OE_MM_maths_en_COMP/2", r"\boxed{1}", WRONG),
    ("olympiadbench", "OE_MM_maths_en_COMP/2", r"\boxed{1,2.001}", WRONG),
    ("olympiadbench", "OE_MM_maths_en_COMP/1", r"\boxed{\frac{7}{2}}", RIGHT),
    ("olympiadbench", "OE_MM_maths_en_COMP/1", r"\boxed{\sqrt{12.25}}", PASSED_ON),
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


def test_numbers_in_short_texts() -> None:
    assert number_of("about 1,234.5 m") == 1234.5
    assert number_of("-3e-2") == -0.03
    assert number_of("1/2") is None
    assert number_of("none") is None


def test_lists_are_read_and_never_run() -> None:
    assert parse_list("['a', \"b's\"]") == ["a", "b's"]
    assert parse_list('["a", null]') == ["a", "None"]
    with pytest.raises(ValueError, match="no list"):
        parse_list("__import__('os').getcwd()")


def test_numbers_with_a_pi() -> None:
    assert value_of("2π") == pytest.approx(6.28318, abs=1e-5)
    assert value_of("π") == pytest.approx(3.14159, abs=1e-5)
    assert value_of("5:0") is None


def test_parts_of_an_answer() -> None:
    assert parts_of("（1）12；（2）30.") == {"1": "12", "2": "30"}
    assert parts_of("12") == {}


def test_open_answers_are_phrases_and_the_numbers_in_them() -> None:
    assert open_answers("So the total = 1,234.567 m") >= {1234.57}
    assert "paris" in open_answers("Long ago. The answer is Paris.")
