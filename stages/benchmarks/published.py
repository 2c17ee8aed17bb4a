"""Published benchmarks: sets of rows on the Hugging Face Hub, or in a local copy of them.

A benchmark says in a `Published` where it lies, which columns it needs and how a row becomes a
question. What its authors changed since is noticed: a column that is missing is an error that names
it; a row that lacks its image or answer becomes a question with an error.
"""

import hashlib
import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data.columns import Row
from data.errors import ConfigError, InputError
from data.records import Sample
from data.sources import unreadable
from stages.benchmarks import (
    BENCHMARKS,
    PAPER,
    Benchmark,
    Question,
    Score,
    Selection,
    expand,
)
from stages.benchmarks.files import Rows, dataset_rows, file_rows, snapshot

BATCH_ROWS = 16
"""Rows read at a time: images of a megabyte each are still little."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One table of a data set on the hub."""

    split: str
    config: str | None = None
    file: str | None = None
    """Read this JSON file, whose images lie beside it, instead of what the hub makes of the set."""

    @property
    def name(self) -> str:
        """What it is called in a local copy."""
        return self.config or self.split


@dataclass(frozen=True, kw_only=True)
class Published:
    """Where a benchmark lies, and what its rows mean."""

    name: str
    repo: str
    parts: tuple[Part, ...]
    columns: tuple[str, ...]
    """Those that must be there."""
    make: Callable[[Row, Part], Question | None]
    """A row -> its question; None: the row is not part of the benchmark."""
    score: Score | None = None
    has_variants: bool = False
    is_llm_judged: bool = False

    def load(self, selection: Selection) -> Benchmark:
        """The questions wanted.

        All rows are read once, for the digest of the whole and to see which belong to it.

        Raises:
            InputError: the data can't be read, lacks a column, or names two questions alike.
        """
        parts = [part for part in self.parts if part.name.startswith(selection.subset)]
        if not parts:
            raise ConfigError(
                f"{self.name} has no part whose name begins with {selection.subset!r}.",
                f"Its parts: {', '.join(part.name for part in self.parts)}.",
            )
        opened: dict[Part, Rows] = {}
        places: list[tuple[Part, int]] = []
        digest = hashlib.sha256()
        seen: set[str] = set()
        for part in parts:
            if selection.limit and len(places) >= selection.limit:
                break
            opened[part] = rows = self.open(part, selection.root)
            for position, question in self._questions(rows, part, 0, rows.num_rows):
                if question.sample.sample_id in seen:
                    raise InputError(
                        f"{self.repo} has two questions called {question.sample.sample_id}.",
                        "Take another version of the data set.",
                    )
                seen.add(question.sample.sample_id)
                digest.update(_identity(question))
                places.append((part, position))
                if selection.limit and len(places) >= selection.limit:
                    break
        if not places:
            raise InputError(f"{self.repo} holds no question.", "Take another version of it.")

        def read(start: int, stop: int) -> Iterator[Question]:
            for part, position in places[start:stop]:
                for _, question in self._questions(opened[part], part, position, position + 1):
                    yield question

        return Benchmark(
            name="-".join(filter(None, (self.name, selection.subset))),
            digest=digest.hexdigest()[:16],
            num_questions=len(places),
            read=read,
            score=self.score,
            has_variants=self.has_variants,
            is_llm_judged=self.is_llm_judged,
        )

    def _questions(
        self, rows: Rows, part: Part, start: int, stop: int
    ) -> Iterator[tuple[int, Question]]:
        for first in range(start, stop, BATCH_ROWS):
            batch = rows.read(first, min(first + BATCH_ROWS, stop))
            for position, row in enumerate(batch, first):
                if (question := self._made(row, part, position)) is not None:
                    sample = replace(question.sample, source=self.name)
                    yield position, replace(question, sample=sample)

    def _made(self, row: Row, part: Part, position: int) -> Question | None:
        try:
            return self.make(row, part)
        except KeyError as error:
            raise InputError(
                f"{self.repo} ({part.name}) has no {error} where {self.name} was published with "
                f"it, in row {position}.",
                "Take another version of it.",
            ) from error
        except (TypeError, ValueError) as error:
            name = f"{part.name}/row {position}"
            return Question(sample=Sample(sample_id=name, error=f"row: it can't be read ({error})"))

    def open(self, part: Part, root: Path | None) -> Rows:
        """One part, from a local copy or from the hub.

        Raises:
            InputError: it can't be read, or lacks a column.
        """
        with unreadable(f"{self.repo} ({part.name})"):
            rows = self._local(part, root / self.name) if root else self._hub(part)
        missing = [column for column in self.columns if column not in rows.columns]
        if missing:
            raise InputError(
                f"{self.repo} ({part.name}) has no column {missing[0]!r}, so its layout is not the "
                f"one that {self.name} was published in.",
                f"Take another version of it; its columns are {', '.join(rows.columns)}.",
            )
        return rows

    def _hub(self, part: Part) -> Rows:
        if part.file:
            return file_rows(snapshot(self.repo), part.file)
        import datasets

        return dataset_rows(datasets.load_dataset(self.repo, part.config, split=part.split))

    def _local(self, part: Part, folder: Path) -> Rows:
        import datasets

        if not folder.is_dir():
            raise InputError(
                f"There is no local copy of {self.name} in {folder.parent}.",
                f"Make it where there is internet: sophia eval fetch {self.name} "
                f"--root {folder.parent}",
            )
        if part.file:
            return file_rows(folder, part.file)
        if (saved := folder / part.name / part.split).is_dir():
            return dataset_rows(datasets.load_from_disk(saved))
        # Not what `fetch` wrote, but maybe a clone of the hub's repository.
        return dataset_rows(datasets.load_dataset(str(folder), part.config, split=part.split))

    def fetch(self, root: Path) -> Path:
        """Put a copy of all parts under a folder, for machines without internet.

        Returns:
            The copy's own folder. Parts that are there already are left as they are.

        Raises:
            InputError: the hub can't be reached, or has no such data set.
        """
        import datasets

        folder = root / self.name
        with unreadable(self.repo):
            for part in self.parts:
                if part.file:
                    snapshot(self.repo, folder)
                elif not (saved := folder / part.name / part.split).is_dir():
                    found = datasets.load_dataset(self.repo, part.config, split=part.split)
                    partial = saved.with_name(f".{part.split}.partial")
                    found.save_to_disk(partial)
                    partial.rename(saved)
        return folder


def _identity(question: Question) -> bytes:
    """All that the answers to a question depend on, hashed."""
    told: dict[str, Any] = vars(question.sample) | {"images": None}
    images = [hashlib.sha256(image["bytes"]).hexdigest() for image in question.sample.images or []]
    rest: Sequence[Any] = (question.options, question.alternatives, question.details)
    return json.dumps([told, images, *rest], sort_keys=True, default=str).encode()


def fetch(names: Sequence[str], root: Path) -> Iterator[Path]:
    """Copy benchmarks from the hub, and say where each of them lies.

    Raises:
        ConfigError: a name is none of a published benchmark; nothing is copied then.
        InputError: the hub can't be reached.
    """
    found = []
    for name in expand(names):
        module = BENCHMARKS.get(name, "").partition(":")[0]
        published = getattr(importlib.import_module(module), "PUBLISHED", None) if module else None
        if published is None:
            raise ConfigError(
                f"There is no published benchmark {name!r}.", f"Choose from {', '.join(PAPER)}."
            )
        found.append(published)
    for each in found:
        yield each.fetch(root)
