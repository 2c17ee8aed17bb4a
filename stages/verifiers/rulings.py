"""What the rules and the symbolic engine make of an answer, there already or under way."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from stages.verifiers import Judgement, judge_symbolic
from stages.verifiers.workers import LOST


@dataclass(frozen=True, eq=False)
class Comparison:
    """A symbolic comparison that is under way."""

    gold: str
    answer: str
    future: "Future[bool | None]"
    retried: "list[Future[bool | None]]" = field(default_factory=list)
    """The second try, once there is one."""

    def done(self) -> bool:
        """Whether its first try is over."""
        return self.future.done()

    def add_done_callback(self, tell: "Callable[[Future[bool | None]], object]") -> None:
        """Call `tell` when the first try is over."""
        self.future.add_done_callback(tell)

    def is_lost(self) -> bool:
        """Whether its worker is gone, and with it what it came to."""
        return isinstance((self.retried[0] if self.retried else self.future).exception(), LOST)

    def result(self) -> bool | None:
        """What it came to.

        Raises:
            TimeoutError: it took too long.
        """
        return (self.retried[0] if self.retried else self.future).result()


Ruling = Judgement | tuple[str, Comparison]
"""A judgement, or an answer whose comparison is under way."""


def is_ready(ruling: Ruling) -> bool:
    """Whether nothing needs to be waited for."""
    return isinstance(ruling, Judgement) or ruling[1].done()


def judgement(ruling: Ruling) -> Judgement:
    """What a ruling comes to, waiting for its comparison."""
    if isinstance(ruling, Judgement):
        return ruling
    answer, comparison = ruling
    broken = Judgement(status="error", extracted_answer=answer, verifier="math")
    try:
        return judge_symbolic(answer, comparison.result())
    except (TimeoutError, MemoryError):  # a bomb takes time or memory; it is the same to us
        return replace(broken, status="timeout")
    except Exception:  # whatever a comparison died of, the answer was not judged
        return broken
