"""The table `samples`: written with every image looked into, and counted without reading them.

A few rows are in memory at a time.
"""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.parquet as pq

from data import tables
from data.errors import InputError
from data.images import ImageError, check_image
from data.records import Sample, schema

ROW_GROUP_ROWS = 256
ROW_GROUP_BYTES = 32 * 2**20
"""A row group is written when it holds so many rows or bytes: that much is in memory at a time."""


def write_shard(
    path: Path,
    samples: Iterable[Sample],
    sample_ids: Sequence[str],
    metadata: tables.Metadata,
    advance: Callable[[int, int], None],
) -> None:
    """Check samples and write them as a shard: beside its final name, then linked into place.

    Args:
        path: the shard's final name; a file that is there is left as it is.
        samples: its samples, whose images nobody has looked into yet.
        sample_ids: which samples these must be.
        metadata: what the shard says of itself, but for counts and times.
        advance: told how many rows were written, and how many of them have an error.

    Raises:
        InputError: the samples are not the expected ones.
    """
    started = time.monotonic()
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}"
    written: list[str] = []
    num_errors = 0
    with ExitStack() as stack:
        stack.callback(temporary.unlink, missing_ok=True)
        threads = stack.enter_context(ThreadPoolExecutor())
        with pq.ParquetWriter(temporary, schema(Sample), compression="zstd") as writer:
            for group in _row_groups(samples):
                checked = list(threads.map(check_images, group))
                writer.write_table(tables.to_table(checked, Sample))
                errors = sum(sample.error is not None for sample in checked)
                advance(len(checked), errors)
                written += [sample.sample_id for sample in checked]
                num_errors += errors
            final = replace(
                metadata,
                num_rows=len(written),
                num_errors=num_errors,
                seconds=round(time.monotonic() - started, 3),
                finished_at=time.time(),
            )
            writer.add_key_value_metadata(final.encode())
        if written != list(sample_ids):
            raise InputError("The source changed while it was read.", "Run the same command again.")
        try:
            tables.link_into_place(temporary, path)
        except FileNotFoundError:
            # Another worker finished the whole table and swept up what it took for leftovers.
            if not path.exists():
                raise


def _row_groups(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    group: list[Sample] = []
    num_bytes = 0
    for sample in samples:
        group.append(sample)
        num_bytes += sum(len(image["bytes"]) for image in sample.images or [])
        if len(group) >= ROW_GROUP_ROWS or num_bytes >= ROW_GROUP_BYTES:
            yield group
            group, num_bytes = [], 0
    if group:
        yield group


def check_images(sample: Sample) -> Sample:
    """The sample as it is, or with an error in the place of images of which one is broken."""
    for image in sample.images or []:
        try:
            check_image(image["bytes"])
        except ImageError as error:
            name = f"{image['path']}: " if image["path"] else ""
            return replace(sample, images=[], error=f"image: {name}{error}")
    return sample


@dataclass(kw_only=True)
class Counts:
    """What a table of samples holds."""

    num_samples: int = 0
    """Rows of the table, those with an error included."""
    num_errors: Counter[str] = field(default_factory=Counter)
    """How many of them can't be used, by kind: `question`, `choices`, `difficulty`, `image`,
    `missing_file`."""
    num_images: int = 0
    num_without_answer: int = 0
    """Samples that can be asked, but not verified."""


def count_samples(folder: Path) -> Counts:
    """Count a table's samples by what they are good for."""
    counts = Counts()
    for path in tables.shards(folder):
        file = tables.open_parquet(path)
        for batch in file.iter_batches(columns=["answer", "error", "images.list.element.path"]):
            rows = batch.to_pydict()
            counts.num_samples += batch.num_rows
            counts.num_images += sum(len(images) for images in rows["images"])
            counts.num_without_answer += sum(answer is None for answer in rows["answer"])
            counts.num_errors.update(error.partition(":")[0] for error in rows["error"] if error)
    return counts
