"""The first lines of the `sophia` command: a stop signal means 75 from the first moment on.

What the command itself imports takes half a second, in which a preempted job may be told to stop.
"""

import signal
import sys
from types import FrameType

from sophia_cli.signals import STOP_SIGNALS

STOPPED = 75


def main() -> None:
    """Run the command. What can be stopped halfway listens for signals in its own way."""
    for number in STOP_SIGNALS:
        signal.signal(number, _stop)
    from sophia_cli.app import main as run

    run()


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit(STOPPED)


if __name__ == "__main__":
    main()
