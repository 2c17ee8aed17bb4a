"""What a policy is evaluated on: questions with gold answers, by name.

To add a published benchmark, describe it in a module of its own (`published.py` says how) and add a
line to `BENCHMARKS`. Any name that is not there is the folder of a run, whose ingested samples are
asked.
"""

import difflib
import importlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from data import tables
from data.errors import InputError
from data.records import Sample
from stages.verifiers import Judgement

logger = logging.getLogger(__name__)

BENCHMARKS = {
    "world": "stages.benchmarks.world:load",
    "mmmu": "stages.benchmarks.mmmu:load",
    "mmmu_pro": "stages.benchmarks.mmmu_pro:load",
    "mathvista": "stages.benchmarks.mathvista:load",
    "mathverse": "stages.benchmarks.mathverse:load",
    "dynamath": "stages.benchmarks.dynamath:load",
    "mathvision": "stages.benchmarks.mathvision:load",
    "mv_math": "stages.benchmarks.mv_math:load",
    "olympiadbench": "stages.benchmarks.olympiadbench:load",
}
PAPER = tuple(name for name in BENCHMARKS if name != "world")
"""The eight of the paper's Table 1, in its order. The name `paper` stands for all of them."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question of a benchmark."""

    sample: Sample
    """What is asked. Its id is the benchmark's own name of the question, unique in it."""
    text: str | None = None
    """What the question says without instructions; None: the sample's question."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Sub-score -> the group the question is in, such as `subject` -> `Physics`."""
    cluster: str | None = None
    """Questions made from the same seed share this; None: it is on its own."""
    options: tuple[str, ...] = ()
    """Options that the question's text lists already, or the image shows."""
    alternatives: tuple[str, ...] = ()
    """Gold answers that are as good as the sample's own."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else the scoring rule needs, such as the number of decimals."""


Score = Callable[[Question, str], Judgement | None]
"""A benchmark's own rule: a question and a finished response -> its judgement; None: it says
nothing of this one, and the project's verifier decides."""


def apply(score: Score, question: Question, text: str) -> Judgement | None:
    """What a benchmark's rule says; a rule that breaks costs this answer its verdict, no more."""
    try:
        return score(question, text)
    except Exception:
        logger.exception("A rule broke on an answer to %s", question.sample.sample_id)
        return Judgement(status="error", verifier="benchmark")


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A set of questions in a fixed order."""

    name: str
    """Names its folder under evals/."""
    digest: str
    """Identity of the questions."""
    num_questions: int
    read: Callable[[int, int], Iterator[Question]]
    """Streams the questions from one position up to another, the same at each call."""
    score: Score | None = None
    """None: the project's verifier alone."""
    has_variants: bool = False
    """Clusters are variants of one question: the worst case is reported too."""
    is_llm_judged: bool = False
    """Its authors, or the paper, have a language model judge the answers."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which questions of a benchmark are wanted, and where they lie."""

    limit: int = 0
    """At most so many, from the first; 0: all."""
    subset: str = ""
    """Only parts whose name begins so."""
    root: Path | None = None
    """Where local copies of published benchmarks lie; None: on the Hugging Face Hub."""


def expand(names: Sequence[str]) -> list[str]:
    """Names with `paper` replaced by those of the paper's benchmarks, each once."""
    return list(dict.fromkeys(each for n in names for each in (PAPER if n == "paper" else (n,))))


def load_benchmark(name: str, limit: int, root: Path | None = None) -> Benchmark:
    """A benchmark by name, or a run's samples by path.

    Args:
        name: a key of `BENCHMARKS`, with `:PREFIX` only the parts whose name begins so; or the
            folder of a run or of its samples.
        limit: at most this many questions, from the first; 0: all.
        root: where local copies of published benchmarks lie; None: on the Hugging Face Hub.

    Raises:
        InputError: there is no such benchmark, nothing in it has an answer, or its data is not
            laid out as expected.
    """
    known, _, subset = name.partition(":")
    if known not in BENCHMARKS:
        return ingested(Path(name), limit)
    module, _, function = BENCHMARKS[known].partition(":")
    load: Callable[[Selection], Benchmark] = getattr(importlib.import_module(module), function)
    return load(Selection(limit=limit, subset=subset, root=root))


def ingested(folder: Path, limit: int) -> Benchmark:
    """The samples of a run that have an answer, as a benchmark."""
    samples = folder if folder.name == "samples" else folder / "samples"
    if not tables.shards(samples):
        near = difflib.get_close_matches(str(folder), [*BENCHMARKS, "paper"], n=1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        raise InputError(
            f"There is no benchmark {str(folder)!r}.",
            f"{guess}Use a known one ({', '.join(BENCHMARKS)}), or the folder of a run that "
            "`sophia ingest` filled.",
        )
    answered = {
        path: sum(1 for row in tables.read_rows(path, Sample, ("sample_id", "answer")) if _has(row))
        for path in tables.shards(samples)
    }

    def read(start: int, stop: int) -> Iterator[Question]:
        for path, number in answered.items():
            if start < number and stop > 0:
                rows = (row for row in tables.read_rows(path, Sample) if _has(row))
                for row in islice(rows, max(start, 0), stop):
                    yield Question(sample=Sample(**row))
            start, stop = start - number, stop - number

    total = sum(answered.values())
    if not total:
        raise InputError(
            f"None of the samples in {samples} has an answer.",
            "Ingest them with their answers: --map answer=COLUMN.",
        )
    return Benchmark(
        name=samples.parent.resolve().name,
        digest=tables.digest_of(tables.table_digest(samples), limit),
        num_questions=min(limit or total, total),
        read=read,
    )


def _has(row: Mapping[str, Any]) -> bool:
    return bool(row["answer"])
