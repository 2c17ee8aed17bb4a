"""What a source holds, found by hashing alone: the samples' ids, and how they are cut into shards.

Exact duplicates and what overlaps a benchmark are dropped here, so that the number of shards, what
lies in which, and the digest of the whole are fixed before the first image is decoded.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from data.columns import Columns
from data.errors import InputError, Stopped
from data.overlap import Exclusions, as_json
from data.records import Sample
from data.report import Report
from data.rows import make_sample
from data.sources import Source
from data.tables import digest_of

ROWS_PER_SHARD = 256
MAX_DEFAULT_SHARDS = 1024
NUM_DUPLICATES_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Reader:
    """The samples of a source, as often as wanted."""

    source: Source
    columns: Columns
    limit: int | None
    should_stop: Callable[[], bool]

    def samples(self, skip: Callable[[int], bool] = lambda position: False) -> Iterator[Sample]:
        """The samples in the source's order, but for the positions to skip.

        Raises:
            Stopped: `should_stop` turned true.
        """
        names = list(dict.fromkeys(chain.from_iterable(self.columns.values())))
        folder, source = self.source.folder, self.source.name
        for position, row in enumerate(self.source.rows(names, self.limit)):
            if self.should_stop():
                raise Stopped("Stopped while reading samples.", "The same command continues.")
            if not skip(position):
                yield make_sample(row, self.columns, folder=folder, source=source)


@dataclass(kw_only=True)
class Plan:
    """What a source holds."""

    sample_ids: list[str] = field(default_factory=list)
    """In the order of the source, each once."""
    duplicates: dict[int, str] = field(default_factory=dict)
    """Position in the source -> id of a sample that had come before."""
    excluded: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Position in the source -> which question of a benchmark it overlaps."""
    digest: str = ""
    num_shards: int = 0

    def bounds(self, shard: int) -> slice:
        """The samples of a shard: shards are contiguous, and of equal size but for one sample."""
        num_samples = len(self.sample_ids)
        return slice(
            shard * num_samples // self.num_shards, (shard + 1) * num_samples // self.num_shards
        )

    def skips(self, there: set[int]) -> Callable[[int], bool]:
        """Which of the source's rows are left out, or lie in a shard that is there already."""
        left_out = self.duplicates.keys() | self.excluded.keys()
        num_rows = len(self.sample_ids) + len(left_out)
        kept = [position for position in range(num_rows) if position not in left_out]
        finished = {position for index in there for position in kept[self.bounds(index)]}
        return lambda position: position in left_out or position in finished


def make_plan(
    reader: Reader, num_shards: int | None, report: Report, exclusions: Exclusions | None
) -> Plan:
    """Read a source to its end, and see what of it becomes samples.

    Args:
        reader: of the source.
        num_shards: as in `ingest`.
        report: where progress goes.
        exclusions: questions of benchmarks.

    Raises:
        InputError: nothing of it becomes a sample.
        Stopped: on a signal.
    """
    plan = Plan()
    seen: set[str] = set()
    digest = hashlib.sha256()
    total = reader.source.num_rows
    if total is not None and reader.limit is not None:
        total = min(total, reader.limit)
    report.start("read", total or 0, 0)
    for position, sample in enumerate(reader.samples()):
        report.advance(rows=1)
        if sample.sample_id in seen:
            plan.duplicates[position] = sample.sample_id
            continue
        if exclusions is not None and (overlap := exclusions.find(sample)) is not None:
            plan.excluded[position] = as_json(position, sample, overlap)
            continue
        seen.add(sample.sample_id)
        plan.sample_ids.append(sample.sample_id)
        # What a row says besides its id, but not the source's own name, which may be a folder's.
        told = sample.source if reader.columns["source"] else None
        mapped = [
            getattr(sample, role) for role in ("difficulty", "tolerance") if reader.columns[role]
        ]
        identity = [sample.sample_id, sample.answer_type, told, *mapped]
        digest.update(json.dumps(identity).encode())
    if not plan.sample_ids:
        raise InputError(
            f"{reader.source.name} holds no rows"
            + (" but those of benchmarks." if plan.excluded else "."),
            "Check the source, --split and --limit.",
        )
    if plan.duplicates:
        first = ", ".join(islice(plan.duplicates.values(), NUM_DUPLICATES_NAMED))
        report.note(f"Exact duplicates are dropped: {len(plan.duplicates)}, such as {first}.")
    by_default = min(-(-len(plan.sample_ids) // ROWS_PER_SHARD), MAX_DEFAULT_SHARDS)
    plan.num_shards = min(num_shards or by_default, len(plan.sample_ids))
    plan.digest = digest_of(plan.num_shards, digest.hexdigest())
    return plan
