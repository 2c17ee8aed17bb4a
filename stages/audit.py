"""Where rules and a language model disagree about an answer: a sample to look at.

Input tables: samples, verdicts. Nothing is written. A judge is asked about answers that the rules
reject, so what it overturns are right answers that they miss. A wrong answer that they accept shows
up only where `verify.llm_extractor = "all"` finds another one in the response.

    sophia verify --run RUN --audit 20
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from data import tables
from data.errors import InputError
from data.records import KEYS, Sample, Verdict
from stages.seeds import Draw
from stages.verifiers import JUDGED

COLUMNS = (*KEYS, "status", "outcome_reward", "extracted_answer", "verifier", "rule_status")
SWITCHES = {"verify.llm_judge": False, "verify.llm_extractor": "off"}


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """An answer that the rules alone would have rewarded otherwise."""

    sample_id: str
    caption_index: int
    rollout_index: int
    question: str | None
    gold: str | None
    extracted_answer: str | None
    rule_status: str
    """What the rules said."""
    status: str
    """What holds."""
    outcome_reward: float
    verifier: str | None
    llm: str | None
    llm_text: str | None
    """What the model wrote."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What a look at all verdicts found."""

    num_asked: int
    """Rows that a model was asked about."""
    num_disagreements: int
    num_failed: int
    """Rows that are not judged because the model's reply was none."""
    sample: list[Disagreement]
    """A few, the same each time; of equal ones about one sample a single one."""


def audit(run_dir: Path, size: int, seed: int) -> Audit:
    """Draw disagreements at random.

    Args:
        run_dir: the run.
        size: how many, at most.
        seed: the run's.

    Raises:
        InputError: there are no verdicts, or no model had a say in them.
    """
    shards = tables.shards(run_dir / "verdicts")
    if not shards:
        raise InputError(f"{run_dir} has no verdicts to look at.", "Run `sophia verify` first.")
    if not any(map(_had_a_say, shards)):
        raise InputError(
            f"The verdicts of {run_dir} are the rules' alone: no language model was asked.",
            "Delete verdicts/ and run `sophia verify --set verify.llm_judge=true "
            "--set models.verifier.path=PATH`.",
        )
    asked = disagreements = failed = 0
    drawn = Draw[tuple[tuple[Any, ...], Path]](size, seed, "audit")
    seen: set[tuple[Any, ...]] = set()
    for path in shards:
        seen.clear()
        for row in _asked(path):
            asked += 1
            failed += row["status"] == "error"
            if not _disagrees(row):
                continue
            disagreements += 1
            content = (row["sample_id"], row["extracted_answer"], row["status"])
            if content in seen:
                continue
            seen.add(content)
            key = tuple(row[name] for name in KEYS)
            drawn.offer((key, path), *key)
    sample = [
        each
        for path in shards
        for each in _told(run_dir, path, {key for key, where in drawn if where == path})
    ]
    return Audit(num_asked=asked, num_disagreements=disagreements, num_failed=failed, sample=sample)


def count_opinions(verdicts: Path) -> dict[str, int]:
    """Rows that a model was asked about, rewards that it changed, rows at which it failed."""
    counts = dict.fromkeys(("asked", "changed", "failed"), 0)
    for path in tables.shards(verdicts):
        for row in _asked(path):
            counts["asked"] += 1
            counts["changed"] += _disagrees(row)
            counts["failed"] += row["status"] == "error"
    return counts


def _had_a_say(path: Path) -> bool:
    """Whether a shard was made with a model; of a table of other tools, whether it says so."""
    metadata = tables.read_metadata(path)
    if metadata is None:
        return any(True for _ in _asked(path))
    return any(metadata.settings.get(name, off) != off for name, off in SWITCHES.items())


def _asked(path: Path) -> Iterator[dict[str, Any]]:
    """The rows that a model was asked about, which may be few of many."""
    for batch in tables.read_batches(path, Verdict, COLUMNS):
        yield from batch.filter(pc.is_valid(batch.column("rule_status"))).to_pylist()


def _disagrees(row: dict[str, Any]) -> bool:
    """Whether the model has changed a reward; one that failed has no opinion."""
    reward: float | None = row["outcome_reward"]
    return reward is not None and reward != JUDGED.get(row["rule_status"])


def _told(run_dir: Path, path: Path, wanted: set[tuple[Any, ...]]) -> Iterator[Disagreement]:
    """The drawn rows of a shard, with their questions."""
    if not wanted:
        return
    names = {key[0] for key in wanted}
    asked = ("sample_id", "question", "answer")
    samples = {
        row["sample_id"]: row
        for row in tables.read_rows(run_dir / "samples" / path.name, Sample, asked)
        if row["sample_id"] in names
    }
    for row in tables.read_rows(path, Verdict, (*COLUMNS, "llm", "llm_text")):
        if tuple(row[name] for name in KEYS) in wanted:
            sample = samples.get(row["sample_id"], {})
            question, gold = sample.get("question"), sample.get("answer")
            yield Disagreement(question=question, gold=gold, **row)
