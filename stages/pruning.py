"""Which rollouts can still change Eq. 6's choice: the others need not be written to their end.

A caption of which enough rollouts are judged is *settled*: R(c) is above alpha even if all others
were wrong, or at most alpha even if all were right. A rollout is given up only when its caption is
settled, and then

- below alpha: at once, or never started;
- above alpha: when it has L tokens and has not ended, where L is the length of the sample's n-th
  shortest right rollout of captions settled above (n = `propagate.keep`).

Nothing that is selected changes:

- A settled caption stays settled on the same side whatever its other rollouts are, so each
  caption is on the same side with and without pruning; one that never settles is never pruned.
- A rollout given up in a caption below alpha was no candidate of Eq. 6.
- One given up at L tokens would have become longer than L. Of the n rollouts that gave L each is a
  candidate with at most L tokens, so each comes before it in Eq. 6's order, whose first criterion
  is length. It was not among the first n, and those that were are all there.

Verdicts that the pruner hears late or never, and samples that it forgets, cost tokens but never
change the choice: it gives up only for what it knows. What it knows must get into the table before
the rollouts given up for it: an attempt that is killed leaves no pruned rollout without its reason.
"""

import threading
from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from stages.job import Key


@dataclass
class _Caption:
    """The judged rollouts of a caption."""

    right: float = 0.0
    """Sum of their outcome rewards."""
    judged: int = 0
    right_lengths: list[int] = field(default_factory=list)


@dataclass
class _Sample:
    """A sample under way."""

    num_rows: int
    known: set[Key] = field(default_factory=set)
    """Rollouts that were judged, could not be, or were given up."""
    captions: defaultdict[int, _Caption] = field(default_factory=lambda: defaultdict(_Caption))
    limit: int | None = None
    """L; None: not known yet."""


class Pruner:
    """Says which rollouts to start and to go on with. Any thread may ask and tell.

    Args:
        alpha: a caption is used when R(c) > alpha.
        keep: trajectories kept per sample.
        num_rollouts: N, rollouts per caption.
    """

    def __init__(self, *, alpha: float, keep: int, num_rollouts: int) -> None:
        self.alpha = alpha
        self.keep = keep
        self.num_rollouts = num_rollouts
        self.samples: dict[str, _Sample] = {}
        self.finished_lengths = Counter[int]()
        self.pruned_lengths = Counter[int]()
        self.lock = threading.Lock()

    def expect(self, sample_id: str, num_rows: int) -> None:
        """Follow a sample until all of its rows are known."""
        with self.lock:
            self.samples[sample_id] = _Sample(num_rows)

    def follows(self, sample_id: str) -> bool:
        """Whether the sample is under way."""
        return sample_id in self.samples

    def admits(self, key: Key) -> bool:
        """Whether a rollout is worth starting."""
        return self.keeps(key, 0)

    def keeps(self, key: Key, num_tokens: int) -> bool:
        """Whether a rollout that has not ended after so many tokens is worth going on with."""
        with self.lock:
            sample = self.samples.get(key[0])
            if sample is None:
                return True
            if key in sample.known:
                return False  # it is there already, and is made again to fill up its batch
            state = self._state(sample.captions[key[1]])
            is_long = sample.limit is not None and num_tokens >= sample.limit
            return not (state == "below" or (state == "above" and is_long))

    def finished(self, key: Key, num_tokens: int, outcome: float | None) -> None:
        """A rollout has ended, or failed.

        Args:
            key: which one.
            num_tokens: its length.
            outcome: R(y); None where it could not be judged.
        """
        with self.lock:
            if (sample := self._account(key)) is None:
                return
            self.finished_lengths[num_tokens] += 1
            if outcome is not None:
                caption = sample.captions[key[1]]
                caption.right += outcome
                caption.judged += 1
                if outcome == 1.0:
                    caption.right_lengths.append(num_tokens)
                self._limit(sample)

    def pruned(self, key: Key, num_tokens: int) -> None:
        """A rollout was given up after so many tokens, or before it was started."""
        with self.lock:
            if self._account(key) is not None:
                self.pruned_lengths[num_tokens] += 1

    def figures(self) -> dict[str, int]:
        """What was saved, as far as this pruner has seen."""
        with self.lock:
            return {
                "rollouts_pruned": self.pruned_lengths.total(),
                "tokens_of_pruned": sum(n * times for n, times in self.pruned_lengths.items()),
                "tokens_saved_estimate": round(self._estimate_saved()),
            }

    def _state(self, caption: _Caption) -> Literal["above", "below", "undecided"]:
        """As `propagate_reward.caption_rewards` has it, with rollouts to come as unknown ones."""
        if caption.right / self.num_rollouts > self.alpha:
            return "above"
        unknown = self.num_rollouts - caption.judged
        return (
            "below" if (caption.right + unknown) / self.num_rollouts <= self.alpha else "undecided"
        )

    def _account(self, key: Key) -> _Sample | None:
        """Note that a row is known; None where it was before, or where nobody follows it."""
        sample = self.samples.get(key[0])
        if sample is None or key in sample.known:
            return None
        sample.known.add(key)
        if len(sample.known) == sample.num_rows:
            del self.samples[key[0]]
        return sample

    def _limit(self, sample: _Sample) -> None:
        """Set L from the captions settled above."""
        settled = (found for found in sample.captions.values() if self._state(found) == "above")
        lengths = sorted(length for caption in settled for length in caption.right_lengths)
        if len(lengths) >= self.keep:
            sample.limit = lengths[self.keep - 1]

    def _estimate_saved(self) -> float:
        """By mean residual length: what the finished rollouts that came as far still had to go.

        It is too low: rollouts that were left to finish are more often right, and shorter.
        """
        lengths = sorted(self.finished_lengths)
        counts = [self.finished_lengths[length] for length in lengths]
        longer = list(accumulate(reversed(counts), initial=0))[::-1]
        tokens = [length * count for length, count in zip(lengths, counts, strict=True)]
        tokens_longer = list(accumulate(reversed(tokens), initial=0))[::-1]
        saved = 0.0
        for num_tokens, times in self.pruned_lengths.items():
            if count := longer[first := bisect_right(lengths, num_tokens)]:
                saved += times * (tokens_longer[first] / count - num_tokens)
        return saved
