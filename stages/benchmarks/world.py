"""The built-in world's held-out questions: scenes that no model was trained on."""

from collections.abc import Iterator
from itertools import islice

from data import tables
from data.columns import choose_columns
from data.errors import ConfigError
from data.rows import make_sample
from data.sources import open_source
from stages.benchmarks import Benchmark, Question, Selection

SOURCE = "world:heldout"
NUM_QUESTIONS = 400


def load(selection: Selection) -> Benchmark:
    """The first held-out questions, as many as are wanted; by default 400.

    Raises:
        ConfigError: a subset is asked for.
    """
    if selection.subset:
        raise ConfigError(
            f"The built-in world has no part {selection.subset!r} to be evaluated on.",
            "Its held-out questions are called world.",
        )
    num_questions = selection.limit or NUM_QUESTIONS
    source = open_source(SOURCE, split="heldout", limit=num_questions)
    columns = choose_columns(source.columns, source.meanings)

    def read(start: int, stop: int) -> Iterator[Question]:
        for row in islice(source.rows(source.columns), start, stop):
            sample = make_sample(row, columns, folder=source.folder, source=source.name)
            yield Question(sample=sample)

    return Benchmark(
        name="world",
        digest=tables.digest_of(SOURCE, num_questions),
        num_questions=num_questions,
        read=read,
    )
