"""Our rules beside the official ones and VLMEvalKit's, on recorded answers of every type."""

from pathlib import Path

import pytest

from tests.stages.benchmarks.parity.cases import FEWEST, KINDS, cases
from tests.stages.benchmarks.parity.report import (
    SCORERS,
    TABLE,
    Judged,
    digest_of,
    disagreements,
    judge_all,
    recorded,
    write,
)

KNOWN_WRONG = {
    ("free-form", "headed", "120", "5!"),
    ("free-form", "explained", "120", "5!"),
}
"""Answers that we judge wrongly: type, form, gold answer, and the answer given."""


@pytest.fixture(scope="module")
def found() -> dict[str, list[Judged]]:
    return judge_all()


@pytest.mark.parametrize("name", KINDS)
def test_there_are_enough_answers_right_and_wrong(name: str) -> None:
    listed = list(cases(name))
    assert len(listed) >= FEWEST
    assert FEWEST // 3 <= sum(case.right for case in listed) <= len(listed) - FEWEST // 3


@pytest.mark.parametrize("name", recorded())
def test_the_authors_have_a_verdict_on_enough_of_them(name: str) -> None:
    official = recorded()[name]["official"]
    assert len(official) - official.count("?") >= FEWEST


@pytest.mark.parametrize("name", recorded())
def test_the_recorded_verdicts_are_of_these_answers(name: str) -> None:
    listed, verdicts = list(cases(name)), recorded()[name]
    assert verdicts["digest"] == digest_of(listed)
    assert all(len(verdicts[scorer]) == len(listed) for scorer in SCORERS)


def test_ours_are_a_careful_readers_but_for_those_listed(found: dict[str, list[Judged]]) -> None:
    wrong = {
        (name, one.case.form, one.case.question.sample.answer, one.case.stated)
        for name, answers in found.items()
        for one in answers
        if one.ours != one.case.right
    }
    assert wrong == KNOWN_WRONG


@pytest.mark.parametrize("scorer", SCORERS)
def test_ours_agree_wherever_theirs_are_right(found: dict[str, list[Judged]], scorer: str) -> None:
    for name, verdicts in recorded().items():
        for one, theirs in zip(found[name], verdicts[scorer], strict=True):
            case = one.case
            key = (name, case.form, case.question.sample.answer, case.stated)
            if theirs != "?" and (theirs == "+") == case.right and key not in KNOWN_WRONG:
                assert one.ours == (theirs == "+"), (key, case.response, one.judgement)


def test_every_disagreement_is_listed_with_who_is_right(
    found: dict[str, list[Judged]], tmp_path: Path
) -> None:
    rows = disagreements(found)
    assert [row for row in rows if not row["why"]] == []
    write(rows, tmp_path / TABLE.name)
    new = (tmp_path / TABLE.name).read_text()
    assert new == TABLE.read_text(), "Run python -m tests.stages.benchmarks.parity.report"


def test_no_recorded_answer_is_left_without_a_verdict(found: dict[str, list[Judged]]) -> None:
    unjudged = [
        (name, one.case.response, one.judgement)
        for name, answers in found.items()
        for one in answers
        if one.judgement.outcome_reward is None
    ]
    assert unjudged == []
