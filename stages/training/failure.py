"""Why ranks failed: a rank leaves it in its output, and the command finds it there.

An uncaught exception is in the log with the prefix `[rankN]:` once the ranks have joined each
other, and without one before. Of a rank that a signal ended only torchrun's report tells.
"""

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import EngineError, SophiaError

MARK = "sophia-error: "
"""Begins the line in which a rank passes an error of ours to the command."""
PASSED_ON = re.compile(rf"^{MARK}(\[.*\])$", re.MULTILINE)
"""A whole one; a full disk may tear it."""
HEADER = "Traceback (most recent call last):"
LINE = re.compile(r"(?:(\[rank\d+\]): ?)?(.*)")
RAISED = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:: .*)?")
"""The line of a traceback that names the exception."""
CHAINED = ("During handling of the above exception", "The above exception was the direct cause")
OF_TORCHRUN = "torch.distributed.elastic."
"""Begins the names of exceptions that say no more than that a rank failed."""
REPORT = re.compile(r"^ *rank +: (\d+) .*\n *exitcode +: -(\d+) \(pid: (\d+)\)", re.MULTILINE)
"""In torchrun's report, a rank that a signal ended."""
REPORTED = "Root Cause (first observed failure)"
CLOSED = re.compile(r"Sending process (\d+) closing signal")
"""A rank that torchrun itself ended, as another one had failed."""

REMEDIES = {
    re.compile("No space left on device|Disk quota exceeded"): "Free some room, then run the same "
    "command again: the checkpoints that are there are safe.",
    re.compile("CUDA out of memory"): "Lower train.micro_batch_size or train.pack_length, or raise "
    "train.zero_stage; `sophia train --dry-run` says what a rank takes.",
    re.compile("signal 9 "): "If the machine ran out of memory, which `dmesg` tells, give it more, "
    "or set fewer train.num_ranks.",
}
"""What to do about some causes."""


@contextmanager
def passed_on() -> Iterator[None]:
    """In a rank: have the command raise what is raised here, if it is an error of ours."""
    try:
        yield
    except SophiaError as error:
        told = json.dumps([type(error).__name__, error.what, error.remedy])
        os.write(2, f"{MARK}{told}\n".encode())  # at once, as other ranks write there too
        raise


def why_failed(log: Path, code: int) -> SophiaError:
    """The error that ended the ranks, for people.

    Args:
        log: what they and torchrun wrote.
        code: exit code of torchrun, or of srun; negative: a signal ended it.

    Returns:
        An error of ours as a rank raised it; an `EngineError` that names any other.
    """
    text = log.read_text(encoding="utf-8", errors="replace")
    if told := PASSED_ON.search(text):
        name, what, remedy = json.loads(told[1])
        kinds = {kind.__name__: kind for kind in SophiaError.__subclasses__()}
        return kinds[name](what, remedy)
    cause = find_cause(text, code)
    remedies = [remedy for known, remedy in REMEDIES.items() if known.search(cause)]
    story = f"The whole story is in {log}."
    return EngineError(f"Training failed: {cause}.", " ".join([*remedies[:1], story]))


def find_cause(text: str, code: int) -> str:
    """The first thing that went wrong; what the other ranks say follows from it."""
    ended = set(CLOSED.findall(text))
    signals = [
        (rank, int(number)) for rank, number, pid in REPORT.findall(text) if pid not in ended
    ]
    # Collectives abort the ranks that wait for one that failed.
    kills = [(rank, number) for rank, number in signals if number != signal.SIGABRT]
    if kills:
        return f"rank {kills[0][0]} was killed by {describe_signal(kills[0][1])}"
    if found := exception(text):
        return found.rstrip(".")
    if signals:
        return f"rank {signals[0][0]} was ended by {describe_signal(signals[0][1])}"
    if code < 0:
        return f"torchrun was killed by {describe_signal(-code)}"
    said = text.strip()
    if not said or REPORTED in said:
        return "the ranks ended without an exception"
    return said.splitlines()[-1].strip().rstrip(".")  # srun's, for example


def exception(text: str) -> str | None:
    """The exception that ended the first rank to tell; before they have joined, the last one told.

    Of a chain of exceptions it is the last one, which says most. Those that were only logged come
    before the one that ended a rank.
    """
    within, chained = set[str](), set[str]()
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        assert match is not None
        rank, words = match[1] or "", match[2]
        if words == HEADER:
            within.add(rank)
        elif words.startswith(CHAINED):
            chained.add(rank)
        elif rank in within and RAISED.fullmatch(words):
            within.remove(rank)
            told = found.setdefault(rank, [])
            if rank in chained:
                chained.remove(rank)
                del told[-1:]
            told.append(words)
    before = [words for words in found.pop("", []) if not words.startswith(OF_TORCHRUN)]
    of_ranks = [told[0] for told in found.values()]
    return next(iter([*of_ranks, *before[::-1]]), None)


def describe_signal(number: int) -> str:
    """Number and name."""
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
