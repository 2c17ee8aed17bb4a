"""Stop signals: SIGTERM, SIGINT, SIGUSR1 and SIGHUP all mean: commit what is done, exit 75."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)


@contextmanager
def stop_on_signal(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Within the block, a stop signal is noted instead of ending the process.

    Args:
        say: told once which signal came.

    Yields:
        A function that says whether to stop.
    """
    stop = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        if not stop.is_set():
            stop.set()
            say(f"{signal.Signals(number).name}: committing what is done")

    previous = {number: signal.signal(number, note) for number in STOP_SIGNALS}
    try:
        yield stop.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
