"""Gold answers that can't be verified: what `sophia ingest` says of them.

Input table: samples. They stay in it, and their rollouts become `unverifiable`, never negatives.
"""

from collections import Counter
from pathlib import Path

from data import tables
from data.records import Sample
from stages.verifiers import SAMPLE_COLUMNS
from stages.verifiers.golds import type_gold


def count_unverifiable(samples: Path) -> dict[str, int]:
    """How many samples have a gold answer that nothing can be compared with, by reason."""
    found: Counter[str] = Counter()
    for path in tables.shards(samples):
        for row in tables.read_rows(path, Sample, SAMPLE_COLUMNS):
            if row["answer"] is None:
                continue
            asked = "\n".join(part for part in (row["hint"], row["question"]) if part)
            gold = type_gold(row["answer"], asked, row["answer_type"], tuple(row["choices"] or ()))
            if gold.problem:
                found[gold.problem] += 1
    return dict(found.most_common())
