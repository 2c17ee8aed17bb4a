"""Rows that were made again, and what that means for the rows that were made from them.

Rows that were cut off are made again with `--redo length`. They have other text then, so what later
stages made from them is out of date, and they make it again by themselves, and only that. So a
shard says of which keys it has made rows again, time after time, and how often each shard that it
was made from had done so by then. (Failed rows need none of it: nothing but failed rows is made
from them. See `identity.has_mended_inputs`.)
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from data import tables
from stages.job import Job, Key

NOTHING: frozenset[Key] = frozenset()


@dataclass(frozen=True)
class Outdated:
    """Rows of a file that were made from rows which were made again since."""

    inputs: frozenset[Key] = NOTHING
    """Keys of those; a key of ours begins with the one that it was made from."""

    def __bool__(self) -> bool:
        return bool(self.inputs)

    def __contains__(self, key: object) -> bool:
        assert isinstance(key, tuple)
        return any(key[:length] in self.inputs for length in range(1, len(key) + 1))


@dataclass(frozen=True)
class Inputs:
    """What the shards that a shard is made from say of rows made again."""

    remade: Mapping[str, Mapping[int, frozenset[Key]]] = field(default_factory=dict)
    """Table -> the how-manieth time -> keys."""

    @classmethod
    def of(cls, job: Job, names: Sequence[str], index: int, count: int) -> "Inputs":
        """Look at a shard's inputs.

        Args:
            job: the attempt, whose metadata knows what its output is made from.
            names: folders of tables.
            index: of the shard.
            count: the tables' number of shards.
        """
        remade = {}
        # A sample's pruned rollouts were given up for the sake of all its others.
        length = 1 if job.metadata.settings.get("reason.prune", "off") != "off" else None
        for name in names:
            path = tables.shard_path(job.folder(name), index, count)
            if Path(name).name not in job.metadata.mended_inputs or not path.exists():
                continue
            if (found := tables.read_metadata(path)) and found.remade:
                remade[name] = {
                    int(time): frozenset(tuple(key)[:length] for key in keys)
                    for time, keys in found.remade.items()
                }
        return cls(remade)

    @property
    def times(self) -> dict[str, int]:
        """Table -> how often rows of it were made again."""
        return {name: max(of_table) for name, of_table in self.remade.items()}

    def outdated(self, metadata: tables.Metadata) -> Outdated:
        """What of a file of ours is out of date."""
        return Outdated(
            frozenset().union(
                *(
                    keys
                    for name, of_table in self.remade.items()
                    for time, keys in of_table.items()
                    if time > metadata.made_from.get(name, 0)
                )
            )
        )


@dataclass
class History:
    """How often rows of a shard were made again, and which ones matter to what is made from it."""

    redone: Counter[str] = field(default_factory=Counter)
    remade: dict[str, list[list[object]]] = field(default_factory=dict)
    inputs: Inputs = field(default_factory=Inputs)

    def add(self, metadata: tables.Metadata) -> None:
        """Take in what a part says."""
        self.redone |= Counter(metadata.redone)
        for time, keys in metadata.remade.items():
            known = self.remade.get(time, [])
            listed = set(map(tuple, known))
            self.remade[time] = known + [key for key in keys if tuple(key) not in listed]

    def make_again(self, keys: Iterable[Key]) -> None:
        """Rows that were there are made again."""
        if listed := sorted(map(list, keys)):
            self.remade[str(max(map(int, self.remade), default=0) + 1)] = listed

    def describe(self, metadata: tables.Metadata) -> tables.Metadata:
        """What a file that is written now says of itself."""
        return replace(
            metadata,
            redone=dict(self.redone),
            remade=self.remade,
            made_from=self.inputs.times,
        )
