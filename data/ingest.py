"""`sophia ingest`: any source becomes the table `samples`, in shards that nothing changes any more.

Input: a source as `data.sources` knows them. Output: `samples/`.

The source is read twice. The first pass only hashes: it finds the samples' ids, drops exact
duplicates and what overlaps a benchmark, and with that fixes how many shards there are, what lies
in which, and the digest of the whole. The second pass decodes every image once, to see that it can
be, and writes the shards that are not there yet, each in one go. So a kill loses at most the shard
under way, and nothing is written next to samples of another content.
"""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from data import tables
from data.columns import Columns, choose_columns
from data.errors import InputError, RefusedError, Stopped
from data.overlap import Exclusions, as_json
from data.records import Sample
from data.report import Report
from data.rows import make_sample
from data.samples import count_samples, write_shard
from data.sources import Source, open_source

ROWS_PER_SHARD = 256
MAX_DEFAULT_SHARDS = 1024
NUM_DUPLICATES_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class IngestSummary:
    """What a run's samples are."""

    num_samples: int
    """Rows of the table, those with an error included."""
    num_errors: dict[str, int]
    """How many of them can't be used, by kind: `question`, `choices`, `difficulty`, `image`,
    `missing_file`."""
    num_duplicates: int
    """Rows of the source that were dropped, for the same sample had come before."""
    num_excluded: dict[str, int]
    """Rows left out because they overlap a benchmark, by benchmark and by what they share."""
    num_images: int
    num_without_answer: int
    """Samples that can be asked, but not verified."""
    num_shards: int
    seconds: float


@dataclass(kw_only=True)
class _Plan:
    """What the first pass found."""

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


@dataclass(frozen=True, kw_only=True)
class _Reader:
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


def ingest(
    source: str,
    samples_folder: Path,
    *,
    mapping: dict[str, str],
    limit: int | None,
    num_shards: int | None,
    split: str,
    image_folder: Path | None,
    report: Report,
    should_stop: Callable[[], bool],
    exclusions: Exclusions | None = None,
) -> IngestSummary:
    """Fill a run's `samples/`, or what is missing of it.

    Args:
        source: where the samples come from; see `open_source`.
        samples_folder: the table to write.
        mapping: what a column says -> its name; the rest is found by common names.
        limit: take the first so many rows of the source.
        num_shards: how many shards; by default one for each 256 samples, at most 1024.
        split: which split of a data set that has several.
        image_folder: what the paths of images are relative to.
        report: where progress goes.
        should_stop: turns true when no more work is to be done.
        exclusions: questions of benchmarks; rows that overlap one are left out, and listed in
            `excluded.jsonl` beside the table.

    Raises:
        InputError: the source can't be read, or holds no rows.
        RefusedError: the folder holds other samples.
        Stopped: `should_stop` turned true; the same call continues.
    """
    started = time.monotonic()
    opened = open_source(source, split=split, limit=limit, image_folder=image_folder)
    columns = choose_columns(opened.columns, {**opened.meanings, **mapping})
    reader = _Reader(source=opened, columns=columns, limit=limit, should_stop=should_stop)
    plan = _make_plan(reader, num_shards, report, exclusions)
    # Names and numbers only: a path would differ where the content does not.
    settings = {"source": opened.name, "split": split, "limit": limit, "map": mapping}
    settings |= {"num_shards": plan.num_shards, "num_samples": len(plan.sample_ids)}
    metadata = tables.Metadata(stage="ingest", digest=plan.digest, settings=settings)
    _refuse_other_content(samples_folder, metadata)
    if exclusions is not None:
        _list_excluded(samples_folder.parent / "excluded.jsonl", plan)
    if len(tables.shards(samples_folder)) == plan.num_shards:
        report.note(f"{samples_folder.name}/ holds these samples already: nothing to do.")
    else:
        _write_shards(reader, plan, samples_folder, metadata, report)
        _refuse_other_content(samples_folder, metadata)
    for leftover in samples_folder.glob(".part-*"):
        leftover.unlink(missing_ok=True)
    counts = count_samples(samples_folder)
    return IngestSummary(
        num_samples=counts.num_samples,
        num_errors=dict(counts.num_errors.most_common()),
        num_duplicates=len(plan.duplicates),
        num_excluded=dict(
            Counter(f"{row['benchmark']}, {row['kind']}" for row in plan.excluded.values())
        ),
        num_images=counts.num_images,
        num_without_answer=counts.num_without_answer,
        num_shards=plan.num_shards,
        seconds=time.monotonic() - started,
    )


def _make_plan(
    reader: _Reader, num_shards: int | None, report: Report, exclusions: Exclusions | None
) -> _Plan:
    plan = _Plan()
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
        difficulty = [sample.difficulty] if reader.columns["difficulty"] else []
        identity = [sample.sample_id, sample.answer_type, told, *difficulty]
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
    plan.digest = tables.digest_of(plan.num_shards, digest.hexdigest())
    return plan


def _refuse_other_content(folder: Path, expected: tables.Metadata) -> None:
    """Refuse a folder with shards of other samples, and name what differs."""
    for path in tables.shards(folder):
        found = tables.read_metadata(path)
        if found is None:
            raise RefusedError(
                f"{path} was written by another tool.", f"Use another --run, or delete {path.name}."
            )
        if found.digest != expected.digest:
            raise RefusedError(
                f"{folder} holds other samples: "
                f"{found.differences(expected) or 'the content of the source has changed'}.",
                f"Use another --run, or delete {folder.name}/ and what was made from it.",
            )


def _write_shards(
    reader: _Reader, plan: _Plan, folder: Path, metadata: tables.Metadata, report: Report
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    there = {
        index
        for index in range(plan.num_shards)
        if tables.shard_path(folder, index, plan.num_shards).exists()
    }
    done = sum(len(plan.sample_ids[plan.bounds(index)]) for index in there)
    report.start("ingest", len(plan.sample_ids), done)

    def advance(rows: int, errors: int) -> None:
        report.advance(rows=rows, errors=errors)

    samples = reader.samples(_positions_to_skip(plan, there))
    for index in sorted(set(range(plan.num_shards)) - there):
        sample_ids = plan.sample_ids[plan.bounds(index)]
        path = tables.shard_path(folder, index, plan.num_shards)
        write_shard(path, islice(samples, len(sample_ids)), sample_ids, metadata, advance)


def _positions_to_skip(plan: _Plan, there: set[int]) -> Callable[[int], bool]:
    """Of the source's rows those that are duplicates or lie in a finished shard."""
    left_out = plan.duplicates.keys() | plan.excluded.keys()
    num_rows = len(plan.sample_ids) + len(left_out)
    kept = [position for position in range(num_rows) if position not in left_out]
    finished = {position for index in there for position in kept[plan.bounds(index)]}
    return lambda position: position in left_out or position in finished


def _list_excluded(path: Path, plan: _Plan) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in plan.excluded.values())
    temporary.write_text("".join(lines), encoding="utf-8")
    temporary.replace(path)
