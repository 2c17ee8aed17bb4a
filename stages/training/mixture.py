"""Extra data that is trained on beside the trajectories, from JSONL, Parquet or the world."""

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from data.errors import ConfigError, InputError
from data.tables import open_parquet
from data.world import (
    PREFIX,
    SAMPLES_PER_SEED,
    SEEDS_PER_SPLIT,
    DialogueSplit,
    iterate_dialogues,
)
from stages.seeds import seed_for
from stages.training.config import Mixture
from stages.training.render import Example

WORLD_SPLITS = ("text", "descriptions")


def draw(num_rows: int, num_draws: int, seed: int) -> list[int]:
    """Row numbers in a seeded random order, none twice before all were drawn once."""
    rng = random.Random(seed)
    drawn: list[int] = []
    while len(drawn) < num_draws:
        drawn += rng.sample(range(num_rows), min(num_rows, num_draws - len(drawn)))
    return drawn


def rows_per_epoch(name: str, mixture: Mixture, num_trajectories: int) -> int:
    """How many rows of an entry of `train.mix` an epoch has.

    Args:
        name: the entry's.
        mixture: its settings.
        num_trajectories: that are trained on; none: the entry's own rows stand in for them.

    Raises:
        ConfigError: there is nothing that the number would follow from; or, where there are no
            trajectories, it would be none.
        InputError: there are no trajectories, and the file is empty or can't be read.
    """
    if mixture.rows is not None:
        return mixture.rows
    if not num_trajectories and mixture.path.startswith(PREFIX):
        raise ConfigError(
            f"{mixture.path} has as many rows as one asks for, and there are no trajectories to "
            "go by.",
            f"Set train.mix.{name}.rows.",
        )
    if num_trajectories:
        return round(mixture.weight * num_trajectories)
    if not (num_rows := _count_rows(Path(mixture.path))):
        raise _is_empty(name, mixture.path)
    if not (wanted := round(mixture.weight * num_rows)):
        raise ConfigError(
            f"train.mix.{name}.weight = {mixture.weight:g} of the {num_rows} rows of "
            f"{mixture.path} is less than one.",
            f"Raise it, set train.mix.{name}.rows, or take train.mix.{name} out of the config.",
        )
    return wanted


class Source:
    """One entry of `train.mix`.

    Args:
        name: the entry's name.
        path: its file, or `world:` split.
        num_draws: how many rows the whole training takes from it.
        seed: the run's.
    """

    def __init__(self, name: str, path: str, num_draws: int, seed: int) -> None:
        self.name = name
        self.path = path
        self.seed = seed
        num_rows = num_draws if self.is_world else _count_rows(Path(path))
        if num_rows == 0 and num_draws:
            raise _is_empty(name, path)
        self.draws = draw(num_rows, num_draws, seed_for(seed, "train", "mix", name))

    @property
    def is_world(self) -> bool:
        """Whether the rows come from the built-in world."""
        return self.path.startswith(PREFIX)

    def examples(self) -> Iterator[tuple[int, Example]]:
        """The rows that are drawn, each once, in the order of the file, with their numbers."""
        wanted = set(self.draws)
        for number, row in enumerate(self._rows()):
            if number in wanted:
                yield number, self._example(number, row)

    def _rows(self) -> Iterable[Mapping[str, Any]]:
        if self.is_world:
            return _world_rows(self.path, len(self.draws), self.seed)
        return _file_rows(Path(self.path))

    def _example(self, number: int, row: Mapping[str, Any]) -> Example:
        question = row.get("question") or row.get("prompt")
        response, system = row.get("response"), row.get("system")
        if not (isinstance(question, str) and isinstance(response, str)) or not isinstance(
            system, str | None
        ):
            raise InputError(
                f"Row {number} of {self.path} has no text in question (or prompt) and response.",
                "Write them, and system where it is there, as strings, or take "
                f"train.mix.{self.name} out.",
            )
        images = row.get("images") or row.get("image") or []
        images = images if isinstance(images, list) else [images]
        sample = {"question": question, "images": [self._image(image) for image in images]}
        return Example(sample=sample, response=response, system=system, key=f"{self.name}:{number}")

    def _image(self, image: Any) -> Mapping[str, Any]:
        """An image as in the table `samples`; with neither bytes nor path where it is none."""
        if isinstance(image, bytes):
            return {"bytes": image, "path": None}
        if isinstance(image, str):
            image = {"path": image}
        found = image if isinstance(image, Mapping) else {}
        path = found.get("path")
        beside = str(Path(self.path).parent / path) if isinstance(path, str) and path else None
        return {"bytes": found.get("bytes"), "path": beside}


def _is_empty(name: str, path: str) -> InputError:
    return InputError(f"{path} holds no rows.", f"Take train.mix.{name} out of the config.")


def _count_rows(path: Path) -> int:
    _require(path)
    if path.suffix == ".parquet":
        return int(open_parquet(path).metadata.num_rows)
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())


def _file_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix == ".parquet":
        for batch in open_parquet(path).iter_batches(batch_size=256):
            yield from batch.to_pylist()
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(
                    f"Line {number} of {path} is no JSON: {error}.", "Write one object per line."
                ) from error
            if not isinstance(row, dict):
                raise InputError(
                    f"Line {number} of {path} is no JSON object.", "Write one object per line."
                )
            yield row


def _world_rows(path: str, count: int, seed: int) -> Iterator[Mapping[str, Any]]:
    split = path.removeprefix(PREFIX)
    if split not in WORLD_SPLITS:
        raise InputError(
            f"The built-in world has no split {split!r} to mix in.",
            f"It has {' and '.join(PREFIX + name for name in WORLD_SPLITS)}.",
        )
    seed %= SEEDS_PER_SPLIT // SAMPLES_PER_SEED
    for row in iterate_dialogues(cast(DialogueSplit, split), count, seed):
        images = [{"bytes": image, "path": None} for image in row.images]
        yield {"question": row.prompt, "response": row.response, "images": images}


def _require(path: Path) -> None:
    if not path.is_file() or path.suffix not in {".jsonl", ".parquet"}:
        raise InputError(
            f"{path} is no JSONL or Parquet file.",
            "Name a file that ends in .jsonl or .parquet in train.mix, or a world: split.",
        )
