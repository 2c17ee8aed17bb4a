"""What results say of how they were come by."""

from typing import Any

from stages.provenance import provenance, scorer_version


def said(questions: str = "q", system_prompt: str = "slow_thinking", **sampling: Any) -> Any:
    rows = [{"scorer": "1+b"}, {"scorer": "1+a"}, {"scorer": None}, {}]
    return provenance(rows, questions=questions, system_prompt=system_prompt, sampling=sampling)


def test_other_rules_are_another_version() -> None:
    release, _, digest = scorer_version().partition("+")
    assert release
    assert len(digest) == 8
    assert int(digest, 16) >= 0


def test_rows_say_by_whom_they_were_scored() -> None:
    assert said()["scorers"] == ["1+a", "1+b"], "they may have been scored at different times"


def test_the_prompt_digest_is_of_system_prompt_and_questions() -> None:
    digests = {
        said()["prompt_digest"],
        said(questions="other")["prompt_digest"],
        said(system_prompt="world:prompts/system.txt")["prompt_digest"],
    }
    assert len(digests) == 3
    assert said(temperature=1.0)["prompt_digest"] == said()["prompt_digest"]
    assert said(temperature=1.0)["temperature"] == 1.0
