"""What must not be trained on: the questions of benchmarks."""

from collections.abc import Callable, Sequence
from pathlib import Path

from data.overlap import Exclusions
from data.report import Report
from stages.benchmarks import expand, load_benchmark


def exclusions(
    names: Sequence[str], root: Path | None, report: Report, should_stop: Callable[[], bool]
) -> Exclusions:
    """All questions of some benchmarks, to look training questions up in.

    Args:
        names: as `eval.benchmarks` has them.
        root: where local copies lie; None: on the hub.
        report: where progress goes.
        should_stop: turns true when no more work is to be done.

    Raises:
        InputError: one of them can't be read.
    """
    found = Exclusions()
    for name in expand(names):
        benchmark = load_benchmark(name, 0, root)
        report.start(f"look at {benchmark.name}", benchmark.num_questions, 0)
        for question in benchmark.read(0, benchmark.num_questions):
            if should_stop():
                return found
            sample = question.sample
            text = sample.question if question.text is None else question.text
            images = [image["bytes"] for image in sample.images or [] if image["bytes"]]
            found.add(benchmark.name, sample.sample_id, text or "", images)
            report.advance(rows=1)
    return found
