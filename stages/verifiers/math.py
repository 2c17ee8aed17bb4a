r"""Symbolic equality by math-verify. Runs in worker processes only: it can take for ever."""

import functools
import logging
import resource
import signal

MEMORY_BYTES = 4 << 30
"""Address space of a worker: a bigint bomb ends it, not the machine."""


def start_worker() -> None:
    """Limit a fresh worker's memory, and load the library before the first deadline runs.

    Signals that reach a whole process group are the command's to deal with.
    """
    import math_verify  # noqa: F401 - the import is the point

    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)  # math-verify logs every answer it can't parse
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def equivalent(gold: str, answer: str) -> bool | None:
    """Whether two answers are the same mathematical object.

    Both are put into a box, because math-verify reads bare LaTeX as nothing at all. Its own
    timeouts are off: they rest on `signal.alarm`; the pool kills a worker from outside instead.

    Returns:
        None where the gold answer can't be parsed.
    """
    from math_verify import verify

    parsed_gold = _parse(gold)
    if not parsed_gold:
        return None
    parsed = _parse(answer)
    if not parsed:
        return False
    return bool(verify(list(parsed_gold), list(parsed), timeout_seconds=None))


@functools.lru_cache(maxsize=1024)
def _parse(answer: str) -> tuple[object, ...]:
    from math_verify import LatexExtractionConfig, parse

    boxed = f"\\boxed{{{answer}}}"
    return tuple(parse(boxed, [LatexExtractionConfig()], parsing_timeout=None))
