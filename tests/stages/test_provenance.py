"""What results say of how they were come by."""

from pathlib import Path
from typing import Any

import stages.benchmarks
import stages.verifiers
from stages.provenance import provenance, scorer_version, source_digest


def said(questions: str = "q", system_prompt: str = "slow_thinking", **sampling: Any) -> Any:
    rows = [{"scorer": "1+b"}, {"scorer": "1+a"}, {"scorer": None}, {}]
    return provenance(rows, questions=questions, system_prompt=system_prompt, sampling=sampling)


def test_other_rules_are_another_version(tmp_path: Path) -> None:
    rule = tmp_path / "kinds" / "rule.py"
    rule.parent.mkdir()
    digests = set()
    for text in ("one", "other"):
        rule.write_text(text)
        digests.add(source_digest([tmp_path]))
    rule.rename(tmp_path / "rule.py")
    assert len({*digests, source_digest([tmp_path])}) == 3


def test_a_version_is_that_of_the_package_and_its_rules() -> None:
    release, _, digest = scorer_version().partition("+")
    assert release
    packages = (stages.verifiers, stages.benchmarks)
    assert source_digest([Path(one.__path__[0]) for one in packages]).startswith(digest)


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
