"""Answers that are made to cost time, memory or the process, for every kind of gold answer.

    python tests/performance/verification.py --bombs [--rows 200000] [--json]

Every bomb holds a number that changes from row to row, so that no cache answers for it.
"""

import itertools
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from stages.verifiers import Attempt
from stages.verifiers.pool import Judge

GOLDS = (
    "5", "1", "0.25", "3.14", "\\frac{63}{400}", "2\\sqrt{3}", "x^2+1", "y=2x+1", "x>3", "[0,1)",
    "(-\\infty,2]\\cup[5,\\infty)", "\\{1,2\\}", "(3,4)", "1,2,3", "\\pm 4", "5 cm", "30^\\circ",
    "25\\%", "3:4", "12:30", "Yes", "red circle", "等边三角形", "(1) 8; (2) 15",
    "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\sum_{k=1}^{n} k", "\\int_0^1 x\\,dx",
    "9^{9^{9^9}}", "\\emptyset", "n!", "\\sin x", "6.63\\times 10^{-34}",
)  # fmt: skip
BOMBS = (
    "9^{9^{9^{#}}}",
    "10^{10^{10^{10}}} + #",
    "2^{2^{2^{2^{2^{#}}}}}",
    "#9999999!",
    "((#!)!)!",
    "#" + "!" * 300,
    "\\binom{10^{9}}{10^{8}+#}",
    "\\binom{99999#}{4999#}",
    "\\prod_{k=1}^{10^{8}} (k+#)",
    "\\sum_{k=1}^{9999999} k^{k+#}",
    "\\sum_{k=1}^{\\infty} \\frac{\\sin(k^#)}{k}",
    "\\int_0^1 x^x \\sin(\\cos(x^{x+#})) dx",
    "\\int_0^{\\infty} e^{-x^{#}} \\ln(x) \\, dx",
    "\\lim_{x\\to 0} \\frac{\\sin(\\tan(x^{#}))-x}{x^{7}}",
    "\\frac{1}{10^{10^{9}}} + #",
    "\\frac{1}{2^{#000000000000}}",
    "1e#99999999",
    "#" + "9" * 20_000,
    "0." + "3" * 15_000 + "#",
    "(" * 3000 + "#" + ")" * 3000,
    "{" * 5000 + "#",
    "[" * 900 + "#" + "]" * 900,
    "\\{" * 300 + "#" + "\\}" * 300,
    "\\sqrt{" * 300 + "#" + "}" * 300,
    "\\frac{" * 200 + "#",
    "\\frac{1}{1+" * 60 + "#" + "}" * 60,
    "\\sin(" * 30 + "#" + ")" * 30,
    "\\log_{2^5}(\\log_{2^4}(\\log_{2^3}(\\log_{2^2}(\\log_{2^1}x+#))))",
    "+".join(f"x_{{{index}}}" for index in range(1500)) + "+#",
    "+".join(f"{index}!" for index in range(900, 990)) + "+#",
    "+".join(f"\\sin({index}^{{99}})" for index in range(90)) + "+#",
    "\\cdot".join(f"(x+{index})" for index in range(60)) + "+#",
    "(a+b+c+d+#)^{60}",
    "(x+y+z)^{#000}",
    "(1+x)^{(1+x)^{(1+x)^{#}}}",
    "\\begin{pmatrix}" + "&".join("1" * 500) + "#\\end{pmatrix}",
    "\\begin{pmatrix}" * 40 + "#",
    "a, " * 3000 + "#",
    "1;" * 600 + "#",
    "\\pm 1 " * 200 + "#",
    "\\pm 1," * 200 + "#",
    "(" + "\\pm 1," * 12 + "#)",
    "1 < " * 400 + "#",
    "x=" * 400 + "#",
    "\\cup[1,2]" * 300 + "#",
    "1:" * 500 + "#",
    "-" * 5000 + "#",
    "|" * 900 + "#",
    "^".join("2" * 60) + "#",
    "_" * 900 + "#",
    "x" + "'" * 5000 + "#",
    "$" * 4000 + "#",
    "\\" * 4001 + "#",
    "\\left" * 1500 + "#",
    "\\text{" * 500 + "#",
    "\\text{a}" * 500 + "#",
    "#" + " " * 50_000 + "x",
    "\uff0c" * 3000 + "#",
    "一百万亿" * 400 + "#",
    "#" + " meters per second" * 400,
    "1/2 " * 800 + "#",
    "1,000" * 800 + "#",
    "#" + "0" * 1900 + "\\%",
    "12:" + "#" * 900,
    "(1) 2 " * 500 + "#",
    "yes no " * 500 + "#",
    "A, B, " * 500 + "#",
    "\\max(" * 100 + "#",
    "f(" * 200 + "#",
    "0.333" + "3" * 1500 + "\\ldots #",
    "1+2+\\cdots+10^{9}+#",
    "1,2,\\ldots,99999999#",
    "a_1+a_2+\\ldots+a_{n}+" * 60 + "#",
    "\\boxed{" * 600 + "#",
    "__import__('os').system('sleep 9') or #",
    "().__class__.__bases__[0].__subclasses__()#",
    "\x00\x01\x02#\x07",
    "\ud83d" * 50 + "#",
    "Ω≈ç√∫µ≤≥÷" * 300 + "#",
    "\\frac{7^{\\left(7^{\\left(7^{\\left(7^7\\right)}\\right)} - 3\\right)} - #}{12}",
    "\\left(\\left(#^{99}\\right)^{99}\\right)^{\\left(99^{99}\\right)}",
    "\\frac{#!}{10^{10^{8}}}",
    "\\prod_{j=2}^{10^{9}} \\left(1-\\frac{#}{j^2}\\right)",
    "\\int_0^1 \\int_0^1 \\frac{\\sin(xy)^{x+#}}{1+x^y}\\,dx\\,dy",
    "\\log_{2}(\\log_{3}(\\log_{4}(\\log_{5}(\\log_{6}(\\log_{7} #x)))))",
    "\\gcd(10^{10^{9}}, #^{10^{9}})",
    "+".join(f"y_{{{index}}}^2" for index in range(2500)) + "=#",
    "\\boxed{#}\n" * 2500,
    "\\boxed{#}" * 400 + "\\boxed{",
    "{%Tõnis 88#771 скидка 增加 [2,4-9-77 不停);8个_HEAD 学校。 import}",
)
"""`#` stands for a number of the row's own."""
WRAPPED = (
    "It is $\\boxed{{{}}}$.",
    "Answer: {}",
    "<think>{0}</think>\nThe final answer is {0}",
    "{}",
)


@dataclass
class Found:
    """What judging bombs came to."""

    rows: int = 0
    seconds: list[float] = field(default_factory=list)
    worst: float = 0.0
    slowest: str = ""
    statuses: dict[str, int] = field(default_factory=dict)

    def add(self, seconds: float, status: str, text: str) -> None:
        """Count one answer."""
        if seconds > self.worst:
            self.worst, self.slowest = seconds, text[:60].encode("ascii", "replace").decode()
        self.seconds.append(seconds)
        self.rows += 1
        self.statuses[status] = self.statuses.get(status, 0) + 1


def bombs(seed: int = 0) -> Iterator[Attempt]:
    """Every bomb for every gold answer, in no order, in any way of answering, without end."""
    draw = random.Random(seed)
    pairs = list(itertools.product(GOLDS, BOMBS))
    draw.shuffle(pairs)
    for gold, bomb in itertools.cycle(pairs):
        text = draw.choice(WRAPPED).format(bomb.replace("#", str(draw.randint(2, 999))))
        yield Attempt(gold=gold, text=text, question=draw.choice((None, "Find x.")))


def one_by_one(judge: Judge, rows: int, seed: int = 0) -> Found:
    """Judge bombs, each on its own, and take its time."""
    found = Found()
    for attempt, _ in zip(bombs(seed), range(rows), strict=False):
        started = time.perf_counter()
        ((_, judged),) = judge.judge([(None, attempt)])
        found.add(time.perf_counter() - started, judged.status, f"{attempt.gold} | {attempt.text}")
    return found


def summary(found: Found) -> dict[str, object]:
    """The figures of a round of bombs."""
    return {
        "bombs": found.rows,
        "bomb_seconds_median": round(statistics.median(found.seconds), 5),
        "bomb_seconds_longest": round(found.worst, 2),
        "slowest_bomb": found.slowest,
        "bomb_statuses": found.statuses,
    }
