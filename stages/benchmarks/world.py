"""The built-in world's held-out questions: scenes that no model was trained on."""

from collections.abc import Iterator

from data import tables
from data.records import Sample
from data.sources import world_samples
from stages.benchmarks import Benchmark

NUM_QUESTIONS = 400
SEED = 0


def load(limit: int) -> Benchmark:
    """The first `limit` held-out questions; 0: the usual 400."""
    num_questions = limit or NUM_QUESTIONS

    def stream() -> Iterator[Sample]:
        return world_samples("heldout", num_questions, SEED)

    return Benchmark(
        name="world",
        digest=tables.digest_of("world", "heldout", num_questions, SEED),
        num_questions=num_questions,
        samples=stream,
    )
