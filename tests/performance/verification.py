"""Verdicts per second against math-verify, and memory over many answers and bombs.

    python tests/performance/verification.py [--rows 200000] [--questions 96] [--bombs] [--json]

Three measures, in one run, on generated questions of several kinds:

- realistic: 64 rollouts per question, many with equal answers, each some thousands of tokens long;
- distinct: every answer another one, in short responses;
  in both some are for the symbolic engine, which is the same as the other arm's;
- memory: `--rows` verdicts with resource bombs among them; the workers' memory counts.

With `--bombs` it is memory, and the time that bombs take one by one, alone.

The other arm is `math_verify.parse` and `verify` in one process, on a part of the same rollouts,
with the gold answer in a box, which is how it does best. The arms take turns.
"""

import argparse
import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from stages.verifiers import Attempt
from stages.verifiers.decide import decide
from stages.verifiers.pool import Judge

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a file, it is to find `tests`

from tests.performance.bombs import bombs, one_by_one, summary

ROLLOUTS = 64
ROUNDS = 3
FIFTHS = 5
THEIR_SHARE = 8
"""One in so many rollouts goes to math-verify, which takes too long for all of them."""
BOMB_EVERY = 100
"""One row in so many is a bomb."""
BOMB_SECONDS = 1.0
"""The deadline of each answer where memory is measured: with the usual one it would take hours."""
ALONE = 300
"""Bombs that are timed one by one, with the usual deadline."""
SENTENCES = (
    "Let me look at the figure again: the two triangles share the side $AB$, so $x + 2y = {n}$. ",
    "Wait, that is not what the caption says. It says there are {n} marks on the axis. ",
    "If I substitute $t = \\frac{{{n}}}{{3}}$ I get $t^2 - 4t + {n} = 0$, which has two roots. ",
    "Perhaps I should check the units before going on: {n} cm is {n} times 10 mm. ",
)
SUM = r"\sum_{k=1}^{4} k"
COLOURS = ("red", "blue", "green", "yellow", "purple", "orange")
SHAPES = ("squares", "circles", "triangles", "stars", "cubes", "spheres")
KINDS = (
    *("number", "choice", "fraction", "formula", "root", "text", "unit"),
    *("interval", "set", "sum", "integral"),
)
WEIGHTS = (4, 4, 2, 2, 2, 2, 2, 1, 1, 1, 1)
Rollout = tuple[str, str]
"""Gold answer and response."""


def question(draw: random.Random) -> tuple[str, list[str]]:
    """A gold answer, and answers of which some are right.

    One in eleven or so is a sum or an integral, which no rule can tell.
    """
    one, other = draw.randint(2, 97), draw.randint(2, 97)
    (kind,) = draw.choices(KINDS, WEIGHTS)
    match kind:
        case "number":
            return str(one * other), [str(one * other), f"{one * other}.0", str(one + other)]
        case "fraction":
            return f"\\frac{{{one}}}{{{other}}}", [f"{one}/{other}", f"{other}/{one}", str(one)]
        case "formula":
            return f"{one}x+{other}", [f"{other}+{one}x", f"{one}x-{other}", f"{other}x+{one}"]
        case "interval":
            high = one + other
            return f"[{one},{high})", [f"{one} \\leq x < {high}", f"({one},{high})"]
        case "set":
            return f"\\{{{one},{other}\\}}", [f"\\{{{other},{one}\\}}", f"{one}", f"{one}, {one}"]
        case "root":
            gold = f"{one}\\sqrt{{{other}}}"
            return gold, [f"\\sqrt{{{one * one * other}}}", f"{other}\\sqrt{{{one}}}"]
        case "choice":
            letter, wrong = draw.sample("ABCDE", 2)
            return letter, [letter, f"({letter})", f"\\text{{{letter}}}", wrong]
        case "text":
            gold = f"{one} {draw.choice(COLOURS)} {draw.choice(SHAPES)}"
            return gold, [gold, f"\\text{{{gold}}}", gold.title(), f"{other} blue cones"]
        case "unit":
            return f"{one} m", [f"{100 * one} cm", f"{one}\\text{{ m}}", str(one), f"{one} s"]
        case "sum":
            gold = f"\\sum_{{k={one}}}^{{{one + other}}} k"
            value = (other + 1) * (2 * one + other) // 2
            return gold, [str(value), str(value + one), f"{value}.0"]
    return f"{other * other}", [f"\\int_0^{{{other}}} 2x\\,dx", f"\\int_0^{{{other}}} {one}x\\,dx"]


def long_text(draw: random.Random, answer: str) -> str:
    """A response of some thousands of tokens with an answer at its end."""
    thoughts = "".join(
        draw.choice(SENTENCES).format(n=draw.randint(1, 99)) for _ in range(draw.randint(60, 160))
    )
    return f"<think>{thoughts}</think>\n\nSo the answer is $\\boxed{{{answer}}}$."


def realistic(questions: int, seed: int) -> list[Rollout]:
    """Rollouts of one question after the other."""
    draw = random.Random(seed)
    rows = []
    for _ in range(questions):
        gold, answers = question(draw)
        rows += [(gold, long_text(draw, draw.choice(answers))) for _ in range(ROLLOUTS)]
    return rows


def distinct(number: int, seed: int) -> list[Rollout]:
    """Rollouts of which no two have the same answer."""
    draw = random.Random(seed)
    rows: dict[str, Rollout] = {}
    while len(rows) < number:
        gold, answers = question(draw)
        answer = draw.choice(answers)
        rows.setdefault(answer, (gold, f"It follows that $\\boxed{{{answer}}}$."))
    return list(rows.values())


def ours(rows: list[Rollout]) -> list[bool]:
    """Verdicts by a Judge that has seen nothing yet."""
    decide.cache_clear()
    with Judge(num_workers=2) as judge:
        attempts = ((None, Attempt(gold=gold, text=text)) for gold, text in rows)
        return [found.status == "correct" for _, found in judge.judge(attempts)]


def theirs(rows: list[Rollout]) -> list[bool]:
    """Verdicts by math-verify as it comes."""
    from math_verify import parse, verify

    return [bool(verify(parse(f"\\boxed{{{gold}}}"), parse(text))) for gold, text in rows]


def rate(
    arm: Callable[[list[Rollout]], list[bool]], rows: list[Rollout]
) -> tuple[float, list[bool]]:
    """Verdicts per second, and the verdicts."""
    started = time.perf_counter()
    verdicts = arm(rows)
    return len(rows) / (time.perf_counter() - started), verdicts


def compare(make: Callable[[int], list[Rollout]]) -> tuple[float, float]:
    """How many times as fast as math-verify, and the share of equal verdicts; medians."""
    ratios, agreed = [], []
    for seed in range(ROUNDS):
        rows = make(seed)
        part = rows[::THEIR_SHARE]
        fast, verdicts = rate(ours, rows)
        slow, others = rate(theirs, part)
        ratios.append(fast / slow)
        pairs = list(zip(verdicts[::THEIR_SHARE], others, strict=True))
        agreed.append(sum(one == other for one, other in pairs) / len(pairs))
    return statistics.median(ratios), statistics.median(agreed)


def many(rows: int) -> Iterator[tuple[None, Attempt]]:
    """Short rollouts with a bomb now and then."""
    draw = random.Random(7)
    made_to_hurt = bombs()
    for index in range(rows):
        if index % BOMB_EVERY == 0:
            yield None, next(made_to_hurt)
            continue
        gold, answers = question(draw)
        yield None, Attempt(gold=gold, text=f"It is $\\boxed{{{draw.choice(answers)}}}$.")


def memory_over(rows: int) -> dict[str, object]:
    """Memory of this process and its workers over many verdicts, in GiB.

    A bomb may blow a worker up for a moment, as far as its limit lets it: that is the peak. What
    stays behind shows in the medians over each fifth of the rows.
    """
    this, over, judged = psutil.Process(), threading.Event(), 0
    samples: list[tuple[int, float]] = []

    def watch() -> None:
        while not over.wait(0.1):
            total = this.memory_info().rss
            for child in this.children(recursive=True):
                with suppress(psutil.Error):  # it has ended
                    total += child.memory_info().rss
            samples.append((FIFTHS * judged // (rows + 1), total / 2**30))

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    with Judge(BOMB_SECONDS, num_workers=2) as judge:
        for _ in judge.judge(many(rows)):
            judged += 1
    over.set()
    watcher.join()
    fifths = [
        round(statistics.median(gib for fifth, gib in samples if fifth == number), 3)
        for number in sorted({fifth for fifth, _ in samples})
    ]
    return {
        "peak_gib": round(max(gib for _, gib in samples), 3),
        "gib_by_fifth": fifths,
        "growth_gib": round(fifths[-1] - fifths[len(fifths) // 4], 3),
        "rows": rows,
        "seconds_for_rows": round(time.perf_counter() - started, 1),
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--questions", type=int, default=96)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--bombs", action="store_true")
    options = parser.parse_args()
    if options.bombs:
        show(under_bombs(options.rows), options.json)
        return
    ours(distinct(20, 99))
    theirs(distinct(20, 98))
    realistic_ratio, realistic_agreed = compare(lambda seed: realistic(options.questions, seed))
    distinct_ratio, distinct_agreed = compare(lambda seed: distinct(50 * options.questions, seed))
    found = {
        "realistic_vs_math_verify": round(realistic_ratio, 1),
        "distinct_vs_math_verify": round(distinct_ratio, 1),
        "realistic_agreement": round(realistic_agreed, 4),
        "distinct_agreement": round(distinct_agreed, 4),
        **memory_over(options.rows),
    }
    show(found, options.json)


def under_bombs(rows: int) -> dict[str, object]:
    """How long bombs take, and what memory they leave behind."""
    memory = memory_over(rows)
    with Judge(num_workers=2) as judge:
        list(
            judge.judge([(None, Attempt(gold=SUM, text="\\boxed{\\sum_{k=1}^{2} k}"))])
        )  # it starts
        alone = one_by_one(judge, ALONE)
    return {
        **summary(alone),
        "deadline": judge.timeout_seconds,
        **memory,
    }


def show(found: Mapping[str, object], as_json: bool) -> None:
    """Print the figures."""
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for name, value in found.items():
        sys.stdout.write(f"{name:28}{value!s:>12}\n")


if __name__ == "__main__":
    main()
