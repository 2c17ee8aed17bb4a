r"""Gold answers that the verifier can make nothing of: what `sophia ingest` says of them.

Input table: samples. They stay in it, whatever is found. Of an answer that can't be verified the
rollouts become `unverifiable`, never negatives. Any other one is judged against itself, as the
answer of a response that has it in a `\boxed{}`: where the rules do not find that right, they will
not find others right that say the same.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data import tables
from data.errors import Stopped
from data.records import Sample
from stages.verifiers import SAMPLE_COLUMNS, Attempt, Judgement, judge_by_rule
from stages.verifiers.golds import type_gold

logger = logging.getLogger(__name__)

NUM_EXAMPLES = 5
"""Samples that are named for each reason."""


@dataclass
class Doubtful:
    """Samples of whose gold answers the same is wrong."""

    num_samples: int = 0
    examples: list[str] = field(default_factory=list)
    """The ids of the first few."""

    def add(self, sample_id: str) -> None:
        """One more."""
        self.num_samples += 1
        if len(self.examples) < NUM_EXAMPLES:
            self.examples.append(sample_id)


@dataclass(frozen=True, kw_only=True)
class GoldReport:
    """What is wrong with the gold answers of a table of samples, by reason, the commonest first."""

    unverifiable: dict[str, Doubtful]
    """They can't be compared with anything."""
    not_right: dict[str, Doubtful]
    """They can, but are not right themselves."""


def check_golds(samples: Path, should_stop: Callable[[], bool]) -> GoldReport:
    """Read each gold answer, and judge it against itself by the rules alone.

    Args:
        samples: the table, which is only read, row by row.
        should_stop: turns true on a signal.

    Raises:
        Stopped: on a signal.
    """
    unverifiable: dict[str, Doubtful] = {}
    not_right: dict[str, Doubtful] = {}
    for path in tables.shards(samples):
        if should_stop():
            raise Stopped("Stopped early.", "Run the same command again to go on.")
        for row in tables.read_rows(path, Sample, SAMPLE_COLUMNS):
            if row["answer"] is None:
                continue
            problem, boxed = _look_at(row)
            for found, reason in ((unverifiable, problem), (not_right, boxed)):
                if reason:
                    found.setdefault(reason, Doubtful()).add(row["sample_id"])
    report = GoldReport(
        unverifiable=_commonest_first(unverifiable), not_right=_commonest_first(not_right)
    )
    for line in lines_of(report):
        logger.warning("%s", line)
    return report


def _look_at(sample: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Why a gold answer can't be verified, or else what it is judged to be in a box."""
    response = {"text": None, "finish_reason": "stop"}
    attempt = Attempt.of(sample, response)
    gold = type_gold(attempt.gold or "", attempt.asked, attempt.answer_type, attempt.choices)
    if gold.problem:
        return gold.problem, None
    for accepted in gold.alternatives:
        found = judge_by_rule(Attempt.of(sample, {**response, "text": f"\\boxed{{{accepted}}}"}))
        # What only the symbolic engine can tell is not judged here.
        if isinstance(found, Judgement) and found.status != "correct":
            return None, f"judged {found.status} by the rule `{found.verifier}`"
    return None, None


def _commonest_first(found: dict[str, Doubtful]) -> dict[str, Doubtful]:
    return dict(sorted(found.items(), key=lambda item: -item[1].num_samples))


def lines_of(report: GoldReport) -> Iterator[str]:
    """The report for people."""
    for what, found in (
        ("answers can't be verified", report.unverifiable),
        ("answers are not right in a \\boxed{} of their own", report.not_right),
    ):
        for reason, one in found.items():
            more = ", ..." if one.num_samples > len(one.examples) else ""
            yield f"{one.num_samples} {what}: {reason} ({', '.join(one.examples)}{more})"
