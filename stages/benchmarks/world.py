"""The built-in world's held-out questions: scenes that no model was trained on."""

from collections.abc import Iterator

from data import tables
from data.columns import choose_columns
from data.records import Sample
from data.rows import make_sample
from data.sources import open_source
from stages.benchmarks import Benchmark

SOURCE = "world:heldout"
NUM_QUESTIONS = 400


def load(limit: int) -> Benchmark:
    """The first `limit` held-out questions; 0: the usual 400."""
    num_questions = limit or NUM_QUESTIONS
    source = open_source(SOURCE, split="heldout", limit=num_questions)
    columns = choose_columns(source.columns, source.meanings)

    def stream() -> Iterator[Sample]:
        for row in source.rows(source.columns):
            yield make_sample(row, columns, folder=source.folder, source=source.name)

    return Benchmark(
        name="world",
        digest=tables.digest_of(SOURCE, num_questions),
        num_questions=num_questions,
        samples=stream,
    )
