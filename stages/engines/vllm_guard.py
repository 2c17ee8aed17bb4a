"""Ends vLLM's processes when ours is gone: they would hold the GPU's memory for ever.

Run as a script by `vllm_start.py`, with process ids as arguments and a pipe as standard input. The
pipe closes when the process at its other end does, however that came about.
"""

import contextlib
import os
import signal
import sys


def main() -> None:
    """Wait for the end, and see to it."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # they are for the process that we watch
    sys.stdin.read()
    for argument in sys.argv[1:]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(argument), signal.SIGKILL)


if __name__ == "__main__":
    main()
