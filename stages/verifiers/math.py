r"""Symbolic equality by math-verify. Runs in worker processes only: it can take for ever."""

import ctypes
import functools
import importlib
import logging
import resource
import signal
import sys
from collections.abc import Iterable
from typing import Any

from stages.verifiers.kinds.quantities import split_unit
from stages.verifiers.kinds.units import factor

MEMORY_BYTES = 2 << 30
"""Address space of a worker: a bigint bomb ends there, and the machine goes on."""
PR_SET_PDEATHSIG = 1
"""Of `prctl`: the signal that a process gets when its parent ends."""
DIGITS = 30
CLOSE = 1e-12


ENGINE = (
    "math_verify.parser",
    "math_verify.grader",
    "latex2sympy2_extended.latex2sympy2",
    "latex2sympy2_extended.math_normalization",
)
"""The modules that take any exception for an answer that is not equal."""


def start_worker(memory_bytes: int = MEMORY_BYTES) -> None:
    """Limit a fresh worker's memory, and load the library before the first deadline runs.

    Signals that reach a whole process group are the command's to deal with.
    """
    _let_failures_through()
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    # Python's own handlers wait for a long operation to end; this one ends it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        # Nobody is left then to end what this process may be busy with for ever.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    logging.disable(logging.CRITICAL)  # math-verify logs every answer it can't parse
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _let_failures_through() -> None:
    """Have the engine's `except Exception` catch all but the end of memory and of the stack.

    Whatever is caught there makes an answer a wrong one, and those say nothing of the answer.
    """
    for name in ENGINE:
        module = importlib.import_module(name)
        vars(module)["Exception"] = _ordinary()


def _ordinary() -> tuple[type[Exception], ...]:
    fatal = (MemoryError, RuntimeError)  # RecursionError is a RuntimeError
    others = tuple(one for one in Exception.__subclasses__() if one not in fatal)
    runtime = tuple(one for one in RuntimeError.__subclasses__() if one is not RecursionError)
    return others + runtime


def equivalent(gold: str, answer: str) -> bool | None:
    """Whether two answers are the same mathematical object.

    A unit behind a formula is compared as one, and a missing one is no mistake; but first what
    looks like one is taken for unknowns, which it may be.

    Returns:
        None where the answer can be parsed and the gold one can't.

    Raises:
        MemoryError, RecursionError: it takes too much of either.
        Exception: what the comparison broke on; the answer is not judged.
    """
    found = _same(gold, answer)
    (ours, unit), (theirs, other) = split_unit(gold), split_unit(answer)
    if found or not (unit or other):
        return found
    size = factor(other, unit) if unit and other else 1.0
    if size is None or (_has_unknowns(ours) and not (unit and other)):
        return False
    return _same(ours, theirs, size)


def _has_unknowns(formula: str) -> bool:
    """Whether a formula has unknowns, of which the letter behind it may be one more."""
    from sympy import Basic

    return any(isinstance(one, Basic) and one.free_symbols for one in _parse(formula))


def _same(gold: str, answer: str, size: float = 1.0) -> bool | None:
    """Whether the gold formula is the answer's, times `size`; None: it alone can't be parsed.

    What math-verify finds equal by an absolute tolerance is looked at again for its magnitude. Its
    own timeouts are off: they rest on `signal.alarm`; the pool kills a worker from outside instead.
    """
    from math_verify import verify
    from sympy import Expr, Rational

    parsed_gold, parsed = _parse(gold), _parse(answer)
    if not parsed_gold:
        # Where neither is mathematics both are texts, `AB ∥ CD`, and the rules found them unlike.
        return None if parsed else False
    if size != 1.0:
        parsed = tuple(one * Rational(repr(size)) for one in parsed if isinstance(one, Expr))
    found = verify(
        list(parsed_gold),
        list(parsed),
        timeout_seconds=None,
        allow_set_relation_comp=True,
        raise_on_error=True,
    )
    if not found or _differ_in_size(parsed_gold, parsed):
        return False
    return not (_is_open(parsed_gold) or _is_open(parsed)) or gold == answer


@functools.lru_cache(maxsize=1024)
def _parse(answer: str) -> tuple[object, ...]:
    """An answer as the engine reads it; nothing where it can't.

    It is put into a box, because math-verify reads bare LaTeX as nothing at all.
    """
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse

    # It would take units away from either side, whatever they are.
    plain = NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="all"
    )
    reading = [LatexExtractionConfig(normalization_config=plain)]
    boxed = f"\\boxed{{{answer}}}"
    return tuple(parse(boxed, reading, "no_fallback", parsing_timeout=None, raise_on_error=True))


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
