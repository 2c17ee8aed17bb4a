"""Gold answers that the verifier can make nothing of, and those that are not right themselves."""

from pathlib import Path

import pytest

from data import tables
from data.errors import Stopped
from data.records import Sample
from stages.gold_answers import Doubtful, check_golds, lines_of


def write(folder: Path, golds: list[str | None]) -> Path:
    samples = [
        Sample(sample_id=f"s{number}", question="What is it?", answer=gold)
        for number, gold in enumerate(golds)
    ]
    metadata = tables.Metadata(stage="ingest", digest="d")
    path = tables.shard_path(folder, 0, 1)
    tables.write_atomically(path, tables.to_table(samples, Sample), metadata)
    return folder


def test_golds_are_judged_against_themselves(tmp_path: Path) -> None:
    fine = [
        "7",
        "\\frac{1}{2}",
        "\x0crac{1}{2}",
        "3 \\# \\# 3.0",
        "['24/7', '3.429']",
        "1:30",
        "B",
        None,
    ]
    report = check_golds(write(tmp_path, [*fine, *["185\\"] * 8, "['3', '4']"]), lambda: False)
    ids = [f"s{number}" for number in range(8, 13)]
    reason = "judged no_answer by the rule `extract`"
    assert report.not_right == {reason: Doubtful(num_samples=8, examples=ids)}
    (unclear,) = report.unverifiable.values()
    assert unclear == Doubtful(num_samples=1, examples=["s16"])
    last = list(lines_of(report))[-1]
    assert last.startswith("8 answers are not right") and last.endswith("s11, s12, ...)")


def test_a_stop_ends_it(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        check_golds(write(tmp_path, ["7"]), lambda: True)
