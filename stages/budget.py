"""How much time an attempt has, and whether it is enough for another row."""

import statistics
import time
from collections import deque

REMEMBERED = 256
"""The last so many rows say how long a row takes."""


class Budget:
    """A limit by the clock.

    Args:
        seconds: what the attempt may take from now on; None: as long as it likes.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.deadline = None if seconds is None else time.monotonic() + seconds
        self.durations: deque[float] = deque(maxlen=REMEMBERED)

    def renewed(self) -> "Budget":
        """The same limit for other work, of which nothing is known yet."""
        budget = Budget()
        budget.deadline = self.deadline
        return budget

    def is_spent(self) -> bool:
        """Whether it is time to stop."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def note(self, seconds: float) -> None:
        """Remember how long a row took, from its request to its completion."""
        self.durations.append(seconds)

    def admits(self) -> bool:
        """Whether a row begun now is likely to be finished in time: in half of the cases."""
        if self.deadline is None:
            return True
        left = self.deadline - time.monotonic()
        return left > (statistics.median(self.durations) if self.durations else 0.0)
