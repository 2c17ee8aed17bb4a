"""`sophia ingest`: any source becomes the table `samples`, in shards that nothing changes any more.

Input: a source as `data.sources` knows them. Output: `samples/`.

The source is read twice. The first pass only hashes: it finds the samples' ids, drops exact
duplicates and what overlaps a benchmark, and with that fixes how many shards there are, what lies
in which, and the digest of the whole. The second pass decodes every image once, to see that it can
be, and writes the shards that are not there yet, each in one go. So a kill loses at most the shard
under way, and nothing is written next to samples of another content.
"""

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from data import tables
from data.columns import choose_columns
from data.errors import RefusedError
from data.files import write_whole
from data.ingest_plan import Plan, Reader, make_plan
from data.overlap import Exclusions
from data.report import Report
from data.samples import count_samples, write_shard
from data.sources import open_source


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
    reader = Reader(source=opened, columns=columns, limit=limit, should_stop=should_stop)
    plan = make_plan(reader, num_shards, report, exclusions)
    # Names and numbers only: a path would differ where the content does not.
    settings = {"source": opened.name, "split": split, "limit": limit, "map": mapping}
    settings |= {"num_shards": plan.num_shards, "num_samples": len(plan.sample_ids)}
    metadata = tables.Metadata(stage="ingest", digest=plan.digest, settings=settings)
    _refuse_other_content(samples_folder, metadata)
    if exclusions is not None:
        _list_excluded(samples_folder.parent / "excluded.jsonl", plan)
    _fill(reader, plan, samples_folder, metadata, report)
    return _summary(plan, samples_folder, time.monotonic() - started)


def _summary(plan: Plan, folder: Path, seconds: float) -> IngestSummary:
    counts = count_samples(folder)
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
        seconds=seconds,
    )


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


def _fill(
    reader: Reader, plan: Plan, folder: Path, metadata: tables.Metadata, report: Report
) -> None:
    """Write the shards that are not there, and sweep up what killed attempts have left."""
    if len(tables.shards(folder)) == plan.num_shards:
        report.note(f"{folder.name}/ holds these samples already: nothing to do.")
    else:
        _write_shards(reader, plan, folder, metadata, report)
        _refuse_other_content(folder, metadata)
    for leftover in folder.glob(".part-*"):
        leftover.unlink(missing_ok=True)


def _write_shards(
    reader: Reader, plan: Plan, folder: Path, metadata: tables.Metadata, report: Report
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

    samples = reader.samples(plan.skips(there))
    for index in sorted(set(range(plan.num_shards)) - there):
        sample_ids = plan.sample_ids[plan.bounds(index)]
        path = tables.shard_path(folder, index, plan.num_shards)
        write_shard(path, islice(samples, len(sample_ids)), sample_ids, metadata, advance)


def _list_excluded(path: Path, plan: Plan) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in plan.excluded.values())
    write_whole(path, "".join(lines))
