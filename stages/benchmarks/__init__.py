"""What a policy is evaluated on: questions with gold answers, by name.

To add a benchmark, write a module with a function that makes a `Benchmark`, and add a line to
`BENCHMARKS`. Any other name is the folder of a run, whose ingested samples are asked.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from data import tables
from data.errors import InputError
from data.records import Sample

BENCHMARKS = {"world": "stages.benchmarks.world:load"}


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A set of questions in a fixed order."""

    name: str
    """Names its folder under evals/."""
    digest: str
    """Identity of the questions."""
    num_questions: int
    samples: Callable[[], Iterator[Sample]]
    """Streams the questions, the same at each call."""


def load_benchmark(name: str, limit: int) -> Benchmark:
    """A benchmark by name, or a run's samples by path.

    Args:
        name: a key of `BENCHMARKS`, or the folder of a run or of its samples.
        limit: at most this many questions, from the first; 0: all.

    Raises:
        InputError: there is no such benchmark, or nothing in it has an answer.
    """
    if name in BENCHMARKS:
        module, _, function = BENCHMARKS[name].partition(":")
        benchmark: Benchmark = getattr(importlib.import_module(module), function)(limit)
        return benchmark
    return ingested(Path(name), limit)


def ingested(folder: Path, limit: int) -> Benchmark:
    """The samples of a run that have an answer, as a benchmark."""
    samples = folder if folder.name == "samples" else folder / "samples"
    if not tables.shards(samples):
        known = ", ".join(sorted(BENCHMARKS))
        raise InputError(
            f"There is no benchmark {str(folder)!r}.",
            f"Use a known one ({known}), or the folder of a run that `sophia ingest` filled.",
        )

    def stream() -> Iterator[Sample]:
        rows = (
            Sample(**row)
            for path in tables.shards(samples)
            for row in tables.read_rows(path, Sample)
            if row["answer"]
        )
        return islice(rows, limit or None)

    answered = sum(
        1
        for path in tables.shards(samples)
        for row in tables.read_rows(path, Sample, ("sample_id", "answer"))
        if row["answer"]
    )
    if not answered:
        raise InputError(
            f"None of the samples in {samples} has an answer.",
            "Ingest them with their answers: --map answer=COLUMN.",
        )
    return Benchmark(
        name=samples.parent.resolve().name,
        digest=tables.digest_of(tables.table_digest(samples), limit),
        num_questions=min(limit or answered, answered),
        samples=stream,
    )
