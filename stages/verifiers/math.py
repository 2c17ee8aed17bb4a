r"""Symbolic equality by math-verify. Runs in worker processes only: it can take for ever."""

import functools
import logging
import resource
import signal
from collections.abc import Iterable
from typing import Any

MEMORY_BYTES = 2 << 30
"""Address space of a worker: a bigint bomb ends there, and the machine goes on."""
DIGITS = 30
CLOSE = 1e-12


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
    What it finds equal by an absolute tolerance is looked at again for its magnitude.

    Returns:
        None where the gold answer can't be parsed.
    """
    from math_verify import verify

    try:
        parsed_gold = _parse(gold)
        if not parsed_gold:
            return None
        parsed = _parse(answer)
        if not parsed:
            return False
        found = verify(
            list(parsed_gold),
            list(parsed),
            timeout_seconds=None,
            allow_set_relation_comp=True,
            raise_on_error=False,
        )
        if not found or _differ_in_size(parsed_gold, parsed):
            return False
        return not (_is_open(parsed_gold) or _is_open(parsed)) or gold == answer
    except RecursionError:
        return False


@functools.lru_cache(maxsize=1024)
def _parse(answer: str) -> tuple[object, ...]:
    from math_verify import LatexExtractionConfig, parse

    boxed = f"\\boxed{{{answer}}}"
    return tuple(parse(boxed, [LatexExtractionConfig()], parsing_timeout=None))


def _differ_in_size(gold: Iterable[object], answer: Iterable[object]) -> bool:
    """Whether two numbers that were found equal are so only in absolute terms."""
    ours, theirs = _number(gold), _number(answer)
    if ours is None or theirs is None:
        return False
    if not (ours.is_finite and theirs.is_finite):
        return bool(ours != theirs)
    return bool(abs(ours - theirs) > CLOSE * max(abs(ours), abs(theirs)))


def _is_open(parsed: Iterable[object]) -> bool:
    """Whether a number is written as a sum, integral or limit that algebra can't work out.

    What sympy says of its value is then numerics, which it may get wrong without a word.
    """
    from sympy import Expr, Integral, Limit, Product, Sum

    unsolved = (Sum, Product, Integral, Limit)
    numbers = [one for one in parsed if isinstance(one, Expr) and not one.free_symbols]
    found = [one for one in numbers if one.has(*unsolved)]
    return any(one.doit().has(*unsolved) for one in found)


def _number(parsed: Iterable[object]) -> Any:
    from sympy import Expr

    for one in parsed:
        if isinstance(one, Expr) and not one.free_symbols and one.is_number:
            return one.evalf(DIGITS)
    return None
