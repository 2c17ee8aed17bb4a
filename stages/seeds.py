"""Seeds from identity: what is drawn for a row follows from the run's seed and the row's key."""

import hashlib
import heapq
import itertools
import json
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


def seed_for(run_seed: int, stage: str, *key: str | int) -> int:
    """A 63-bit seed for one row of one stage.

    The same on every machine and in every order of work. Keys that differ give unrelated seeds.
    """
    text = json.dumps([run_seed, stage, *key]).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


class Draw(Generic[Item]):
    """Some of many items at random, which follow from their keys: those of the largest seeds.

    Args:
        size: how many, at most. No more are held in memory.
        run_seed: the run's.
        purpose: what they are for; for something else others are drawn.
    """

    def __init__(self, size: int, run_seed: int, purpose: str) -> None:
        self.size = size
        self.run_seed = run_seed
        self.purpose = purpose
        self._turn = itertools.count()
        self._drawn: list[tuple[int, int, Item]] = []

    def offer(self, item: Item, *key: str | int) -> None:
        """Take the item if it is one of those drawn, so far."""
        entry = (seed_for(self.run_seed, self.purpose, *key), next(self._turn), item)
        if len(self._drawn) < self.size:
            heapq.heappush(self._drawn, entry)
        else:
            heapq.heappushpop(self._drawn, entry)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._drawn)

    def __iter__(self) -> Iterator[Item]:
        """Those drawn, in no order."""
        return (item for *_, item in self._drawn)
