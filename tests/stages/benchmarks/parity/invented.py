r"""Invented questions of every answer type, with answers that a careful reader judges.

Right: it says the same as the gold answer, in whatever spelling, with a unit of its own or without
one. Wrong: anything else; of several answers or parts each must be there.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Invented:
    """A question with answers."""

    question: str
    gold: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    options: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)
    """Other columns of its row."""


def ask(question: str, gold: str, right: str, wrong: str, *options: str, **more: Any) -> Invented:
    """A question whose answers are divided by ` | `."""
    return Invented(
        question=question,
        gold=gold,
        right=tuple(right.split(" | ")),
        wrong=tuple(wrong.split(" | ")),
        options=options,
        more=more,
    )


MC_LETTER = (
    ask(
        "Which planet does the orbit belong to?", "B",
        "B | (B) | B. Mars | b | Option B | B) Mars | **B**",
        "A | (C) | D. Saturn | Jupiter | (D) | A. Venus | AB",
        "Venus", "Mars", "Jupiter", "Saturn",
    ),
    ask(
        "What does the marked cell divide into?", "C",
        "C | (C) | C. four cells | Option C | $C$ | C) four cells",
        "A | B. two cells | (D) | Option B | none of these letters",
        "one cell", "two cells", "four cells", "eight cells",
    ),
    ask(
        "How large is the reaction force?", "A",
        "A | (A) | A. 12 N | (A) 12 N | A) 12 N | \\text{A}",
        "B | (C) | D. 48 N | 36 N | B. 24 N | 48 N",
        "12 N", "24 N", "36 N", "48 N",
    ),
    ask(
        "Which school painted this?", "D",
        "D | (D) | D. Flemish | Option D | (D) Flemish | D.",
        "A | B | C. Dutch | Dutch | (A) | Option C",
        "Roman", "Venetian", "Dutch", "Flemish",
    ),
    ask(
        "What share of the budget is spent on roads?", "E",
        "E | (E) | E. 35% | Option E | (E) 35%",
        "A | (B) | C. 15% | D | 20% | B. 10%",
        "5%", "10%", "15%", "20%", "35%",
    ),
)  # fmt: skip

OPTION_TEXT = (
    ask(
        "Is the blue bar the tallest?", "no",
        "B | (B) | no | No | B. no | (B) no | B)",
        "A | (A) | yes | Yes | A. yes | neither",
        "yes", "no",
    ),
    ask(
        "How many degrees is the angle at C?", "50°",
        "C | (C) | 50° | $50^\\circ$ | C. 50° | 50 degrees",
        "A | B | (D) | 40° | $65^\\circ$ | D. 65°",
        "30°", "40°", "50°", "65°",
    ),
    ask(
        "What happens to the owls?", "The owls would decrease.",
        "A | (A) | The owls would decrease. | the owls would decrease | "
        "A. The owls would decrease.",
        "B | C | (B) | The owls would increase. | C. The owls would stay the same. | (C)",
        "The owls would decrease.", "The owls would increase.", "The owls would stay the same.",
    ),
    ask(
        "What is the ratio of the two areas?", "\\frac{4}{9}",
        "D | (D) | \\frac{4}{9} | 4/9 | $\\frac{4}{9}$ | D. \\frac{4}{9}",
        "A | B | (C) | \\frac{2}{3} | 9/4 | C. \\frac{1}{9}",
        "\\frac{2}{3}", "\\frac{9}{4}", "\\frac{1}{9}", "\\frac{4}{9}",
    ),
    ask(
        "Which colour has the largest share?", "dark green",
        "B | (B) | dark green | Dark Green | B. dark green",
        "A | C | light green | (A) | C. dark blue | green",
        "light green", "dark green", "dark blue", "light blue",
    ),
)  # fmt: skip

INTEGER = (
    ask("How many dots are left of the line?", "14",
        "14 | 14.0 | 14 dots | $14$ | fourteen (14) | +14",
        "13 | 15 | -14 | 140 | 14.9 million | 41"),
    ask("How many people live in the village?", "2350",
        "2350 | 2,350 | $2{,}350$ | 2350 people | 2350.0",
        "2530 | 2,305 | 235 | 23500 | 2000"),
    ask("What is the age gap of the two?", "7",
        "7 | 7 years | \\text{7} | 7.0 | 7 (seven)",
        "8 | 6 years | 17 | 70 | 0"),
    ask("What is the temperature?", "-5",
        "-5 | −5 | $-5$ | -5 °C | -5.0",
        "5 | -4 | -50 | 15 | +5"),
    ask("How many cubes are hidden?", "0",
        "0 | $0$ | 0 cubes | 0.0",
        "1 | 10 | 2 cubes | -1 | 100"),
)  # fmt: skip

FLOAT = (
    ask("What is the speed?", "2.4",
        "2.4 | 2.40 | $2.4$ | 2.4 m/s | 2.41 | 12/5",
        "2.5 | 2.3 | 24 | -2.4 | 0.24", precision=1.0),
    ask("What is the price?", "1.25",
        "1.25 | $1.25$ | 1.250 | 1.251 | 5/4",
        "1.26 | 1.2 | 125 | 1.52 | 12.5", precision=2.0),
    ask("What is the ratio of the sides?", "0.67",
        "0.67 | 0.667 | $0.67$ | .67 | 2/3",
        "0.66 | 0.7 | 67 | 0.6 | 1.5", precision=2.0),
    ask("How far does the stone fall?", "19.6",
        "19.6 | 19.62 | 19.6 m | $19.6$ | 19.60",
        "19.7 | 9.8 | 196 | 19 | -19.6", precision=1.0),
    ask("What is the charge?", "-0.3",
        "-0.3 | −0.3 | $-0.3$ | -0.30 | -.3",
        "0.3 | -0.4 | -3 | -0.03 | 3", precision=1.0),
)  # fmt: skip

LIST = tuple(
    ask(f"Between which values does curve {number} cross the axis?", gold, right, wrong)
    for number, (gold, right, wrong) in enumerate(
        (
            ("[1, 4]", "[1, 4] | [1,4] | [1.0, 4.0] | $[1, 4]$",
             "[4, 1] | [1, 5] | [1] | [1, 4, 4] | 1"),
            ("[2010, 2016]", "[2010, 2016] | [2010,2016] | $[2010, 2016]$ | [2010.0, 2016.0]",
             "[2010, 2015] | [2016, 2010] | 2010 | [10, 16] | [2010]"),
            ("[0.5, 1.5, 2.5]", "[0.5, 1.5, 2.5] | [0.5,1.5,2.5] | [.5, 1.5, 2.5]",
             "[0.5, 1.5] | [0.5, 1.5, 2.6] | [2.5, 1.5, 0.5] | 4.5 | []"),
            ("[-3, 3]", "[-3, 3] | [-3,3] | $[-3, 3]$ | [-3.0, 3.0]",
             "[3, -3] | [3, 3] | [-3, 4] | [-3] | 3"),
            ("[12]", "[12] | $[12]$ | [12.0] | [ 12 ]",
             "[21] | [12, 12] | [13] | [] | [-12]"),
        )
    )
)  # fmt: skip

FREE_FORM = (
    ask("What is the area of the shaded part?", "\\frac{36}{13}",
        "\\frac{36}{13} | 36/13 | \\dfrac{36}{13} | 2.77 | \\frac{72}{26} | 2\\frac{10}{13}",
        "\\frac{13}{36} | 2.7 | \\frac{35}{13} | 36 | 3"),
    ask("How long is the diagonal?", "2\\sqrt{5}",
        "2\\sqrt{5} | \\sqrt{20} | 4.47 | 2 \\sqrt 5 | 2\\sqrt{5} \\text{ cm}",
        "2\\sqrt{3} | \\sqrt{5} | 20 | 4.4 | 5\\sqrt{2}"),
    ask("What is the circumference?", "6\\pi",
        "6\\pi | 6 \\pi | 18.85 | 2\\pi \\cdot 3 | 6\\pi \\text{ cm}",
        "6 | 3\\pi | 36\\pi | 6\\pi^2 | 19"),
    ask("What is the volume of the prism?", "x^2+2x",
        "x^2+2x | 2x+x^2 | x(x+2) | x^{2} + 2x | V = x^2+2x",
        "x^2-2x | x^2+2 | 2x | x+2 | 3x"),
    ask("How many triangles are there?", "120",
        "120 | 120.0 | $120$ | 5! | 120 triangles",
        "102 | 12 | 210 | 121 | 1200"),
)  # fmt: skip

NUMERICAL = (
    ask("Find the speed of the cart.", "3.5",
        "3.5 | 3.55 | \\frac{7}{2} | 3.5 \\mathrm{~m/s} | v=3.5 | 3.42",
        "3.7 | -3.5 | 35 | 350 | 0.035 | 2.5", error="1e-1", unit="m/s"),
    ask("Find the number of paths.", "252",
        "252 | 252.0 | \\binom{10}{5} | n=252 | 2^2 \\cdot 63",
        "2.52 | 25200 | 251 | 10 | 225"),
    ask("Find the ratio of the radii.", "\\frac{2}{3}",
        "\\frac{2}{3} | 2/3 | \\frac{4}{6} | \\dfrac{2}{3}",
        "\\frac{3}{2} | 0.66 | \\frac{200}{3} | \\frac{1}{3} | 2:5"),
    ask("Find the length of the chord.", "2\\sqrt{3}",
        "2\\sqrt{3} | \\sqrt{12} | 2 \\sqrt{3} | \\frac{6}{\\sqrt{3}}",
        "\\sqrt{3} | 2\\sqrt{2} | 12 | 200\\sqrt{3} | 3\\sqrt{2}"),
    ask("求电子的能量。", "6.63e-34",
        "6.63e-34 | 6.63\\times10^{-34} | 6.63 \\times 10^{-34}",
        "0 | 6.63 | 6.63\\times10^{-32} | 1e-9 | 6.36\\times10^{-34}", language="zh"),
)  # fmt: skip

EXPRESSION = (
    ask("Find the current as a function of time.", "I_0 e^{-t/\\tau}",
        "I_0 e^{-t/\\tau} | I_0 e^{-\\frac{t}{\\tau}} | I_{0} e^{-t/\\tau} | I = I_0 e^{-t/\\tau}",
        "I_0 e^{t/\\tau} | I_0 | e^{-t/\\tau} | I_0 (1-e^{-t/\\tau})"),
    ask("Find the number of ways.", "n^2-n",
        "n^2-n | n(n-1) | n^{2} - n | -n+n^2",
        "n^2+n | n^2 | n-1 | 2n | n^2-1"),
    ask("Find the acceleration.", "\\frac{F}{m+M}",
        "\\frac{F}{m+M} | \\frac{F}{M+m} | F/(m+M) | a=\\frac{F}{m+M}",
        "\\frac{F}{m} | \\frac{F}{m-M} | \\frac{2F}{m+M} | F(m+M)"),
    ask("Find the area.", "\\frac{\\sqrt{3}}{4}a^2",
        "\\frac{\\sqrt{3}}{4}a^2 | \\frac{\\sqrt{3} a^2}{4} | \\frac{a^2\\sqrt{3}}{4}",
        "\\frac{\\sqrt{3}}{2}a^2 | \\frac{\\sqrt{3}}{4}a | \\sqrt{3}a^2 | \\frac{\\sqrt{3}}{4}"),
    ask("求通项公式。", "2^{n+1}-2",
        "2^{n+1}-2 | 2\\cdot 2^n-2 | 2(2^n-1) | a_n=2^{n+1}-2",
        "2^{n}-2 | 2^{n+1} | 2^{n+1}+2 | 2n", language="zh"),
)  # fmt: skip

EQUATION = (
    ask("Find the line.", "y=2x+1",
        "y=2x+1 | 2x-y+1=0 | y = 1 + 2x | y-2x=1",
        "y=2x-1 | y=x+1 | x=2y+1 | 2x+y+1=0 | y=2x"),
    ask("Find the circle.", "x^2+y^2=4",
        "x^2+y^2=4 | x^{2}+y^{2}-4=0 | y^2+x^2=4 | \\frac{x^2}{4}+\\frac{y^2}{4}=1",
        "x^2+y^2=2 | x^2-y^2=4 | x+y=4 | x^2+y^2=16"),
    ask("Find the ellipse.", "\\frac{x^2}{9}+\\frac{y^2}{4}=1",
        "\\frac{x^2}{9}+\\frac{y^2}{4}=1 | 4x^2+9y^2=36 | \\frac{y^2}{4}+\\frac{x^2}{9}=1",
        "\\frac{x^2}{4}+\\frac{y^2}{9}=1 | \\frac{x^2}{9}-\\frac{y^2}{4}=1 | 9x^2+4y^2=36 | x=1"),
    ask("Find the law of motion.", "s=\\frac{1}{2}gt^2",
        "s=\\frac{1}{2}gt^2 | s=\\frac{gt^2}{2} | 2s=gt^2 | s = 0.5 g t^2",
        "s=gt^2 | s=\\frac{1}{2}gt | s=2gt^2 | t=\\frac{1}{2}gs^2"),
    ask("求抛物线的方程。", "y^2=4x",
        "y^2=4x | y^{2}=4 x | y^2-4x=0 | 4x=y^2",
        "x^2=4y | y^2=2x | y^2=-4x | y=4x", language="zh"),
)  # fmt: skip

INTERVAL = (
    ask("Find the range of the parameter.", "(-\\infty,2]",
        "(-\\infty,2] | (-\\infty, 2] | \\left(-\\infty,2\\right] | x \\le 2 | a \\in (-\\infty,2]",
        "(-\\infty,2) | [2,+\\infty) | (-\\infty,3] | x<2 | (-2,\\infty)"),
    ask("Find all admissible speeds.", "[0,5)",
        "[0,5) | [0, 5) | \\left[0,5\\right) | 0 \\le v < 5",
        "[0,5] | (0,5) | [0,6) | [5,0) | 0<v<5"),
    ask("Find the domain.", "(-1,1)\\cup(1,3)",
        "(-1,1)\\cup(1,3) | (-1,1) \\cup (1,3) | (1,3)\\cup(-1,1)",
        "(-1,3) | (-1,1) | [-1,1]\\cup[1,3] | (-1,1)\\cup(1,4) | (1,3)"),
    ask("Find the values of k.", "(\\frac{1}{2},\\sqrt{2})",
        "(\\frac{1}{2},\\sqrt{2}) | (0.5,\\sqrt{2}) | (\\frac12, \\sqrt 2)",
        "[\\frac{1}{2},\\sqrt{2}] | (\\frac{1}{2},2) | (\\sqrt{2},\\frac{1}{2}) | (0,\\sqrt{2})"),
    ask("求取值范围。", "(0,+\\infty)",
        "(0,+\\infty) | (0,\\infty) | x>0 | \\left(0, +\\infty\\right)",
        "[0,+\\infty) | (-\\infty,0) | x \\ge 0 | (1,+\\infty)", language="zh"),
)  # fmt: skip

TUPLE = (
    ask("Find the point.", "(3,4)",
        "(3,4) | (3, 4) | \\left(3,4\\right) | (\\frac{6}{2},4)",
        "(4,3) | (3,5) | 3 | (3,4,0) | (-3,4)"),
    ask("Find (a,b,c).", "(1,2,3)",
        "(1,2,3) | (1, 2, 3) | (1,2,\\frac{9}{3}) | \\left(1,2,3\\right)",
        "(3,2,1) | (1,2) | (1,2,4) | 6 | (1,2,3,4)"),
    ask("Find the vertex.", "(-\\frac{1}{2},\\sqrt{3})",
        "(-\\frac{1}{2},\\sqrt{3}) | (-0.5,\\sqrt{3}) | \\left(-\\frac{1}{2}, \\sqrt{3}\\right)",
        "(\\frac{1}{2},\\sqrt{3}) | (\\sqrt{3},-\\frac{1}{2}) | (-\\frac{1}{2},3) | (0,0)"),
    ask("Find all solutions.", "(0,1),(1,0)",
        "(0,1),(1,0) | (1,0),(0,1) | (0, 1), (1, 0)",
        "(0,1) | (0,1),(1,1) | (0,0),(1,1) | (1,0)"),
    ask("求坐标。", "(2,-2)",
        "(2,-2) | (2, -2) | \\left(2,-2\\right)",
        "(-2,2) | (2,2) | (2,-3) | -4 | 2", language="zh"),
)  # fmt: skip

SEVERAL = (
    ask("Find all roots.", "1,4",
        "1,4 | 4,1 | 1, 4 | x=1, x=4",
        "1 | 1,5 | 1,4,5 | 4,4 | 14", several=True),
    ask("Find both currents.", "0.5,1.5",
        "0.5,1.5 | 1.5,0.5 | \\frac{1}{2},\\frac{3}{2} | 0.52,1.48",
        "0.5 | 0.5,1.7 | 2.0 | 0.7,1.5 | 1.5,1.5", several=True, error="5e-2"),
    ask("Find all x.", "\\pm 3",
        "\\pm 3 | 3,-3 | -3,3 | -3, 3",
        "3 | -3 | \\pm 2 | 3,3 | 0", several=True),
    ask("Find all values.", "\\sqrt{2},-\\sqrt{2},0",
        "\\sqrt{2},-\\sqrt{2},0 | 0,\\pm\\sqrt{2} | -\\sqrt{2},0,\\sqrt{2}",
        "\\sqrt{2},0 | \\sqrt{2},-\\sqrt{2} | \\sqrt{2},-\\sqrt{2},1 | 0 | 2,-2,0", several=True),
    ask("Find the mass and the energy.", "20,400",
        "20,400 | 20, 400 | 20,400.0 | 20.05,401",
        "20,300 | 20 | 21,400 | 400 | 20400", several=True, error="1e-1,5"),
)  # fmt: skip

OPEN = (
    ask("What is the net present value?", "12.97",
        "12.97 | 12.970 | $12.97 | 12.97 million | $12.97$",
        "12.79 | 13 | 129.7 | -12.97 | 1297"),
    ask("Which layer is marked?", "cortex",
        "cortex | Cortex | the cortex | cortex layer",
        "medulla | the medulla | vertex | corticoid | pelvis"),
    ask("What is the slope?", "['24/7', '3.429']",
        "24/7 | 3.429 | 3.43 | $24/7$",
        "7/24 | 3.5 | 24 | 7 | 2.43"),
    ask("How many votes were cast?", "8200",
        "8200 | 8,200 | 8200 votes | 8200.0",
        "820 | 8,300 | 82000 | 8 | 2008"),
    ask("Which compound is formed?", "MgS",
        "MgS | $MgS$ | mgs | MgS (magnesium sulfide)",
        "MgO | Mg | S | CaS | MgSO4"),
)  # fmt: skip

DYNA_FLOAT = (
    ask("What is the period?", "2.094",
        "2.094 | 2.0944 | 2.0935 | 2.094 seconds | 2.0940",
        "2.09 | 2.096 | 2.1 | -2.094 | 20.94"),
    ask("What is the mean?", "5.75",
        "5.75 | 5.750 | 5.7505 | 5.75 points",
        "5.7 | 5.76 | 575 | 6 | 0.575"),
    ask("What is the angle in radians?", "3.141592653589793",
        "3.142 | 3.1416 | 1.0π | π",
        "3.14 | 3 | 2π | 180 | 3.2"),
    ask("What is the value at 2?", "-15.700000000000001",
        "-15.7 | -15.700 | -15.701 | −15.7",
        "15.7 | -15 | -15.8 | -157 | 0"),
    ask("How many squares are there?", "9",
        "9 | 9.000 | 9.0 | 9 squares",
        "8 | 10 | 9.1 | 90 | -9"),
    ask("What is the area of the disc?", "12.566",
        "12.566 | 12.5664 | 12.5655 | 12.566 square units | 12.5660 | 4π",
        "12.57 | 12.5 | 3.142 | -12.566 | 125.66 | 12.568"),
    ask("What is the slope?", "0.3333333333333333",
        "0.333 | 0.3333 | .333 | 0.3330 | 1/3",
        "0.3 | 0.33 | 3 | -0.333 | 0.335 | 33.3"),
    ask("How many metres is it?", "1500.0",
        "1500 | 1500.0 | 1500.000 | 1,500 | 1500 metres",
        "150 | 1501 | 15000 | -1500 | 1499.9 | 1.5"),
)  # fmt: skip

DYNA_CHOICE = tuple(
    ask(question, gold, right, wrong)
    for question, gold, right, wrong in (
        ("Is it (A) even (B) odd (C) neither?", "B", "B | (B) | B. odd | B: odd | B) odd",
         "A | C | (A) | A. even | D | A, B"),
        ("Which is larger: A. red B. blue?", "A", "A | (A) | A. red | A) red",
         "B | (B) | B. blue | B) blue | AB"),
        ("Pick the graph: A, B, C or D.", "D", "D | (D) | D. | Option D",
         "A | B | C | (A) | Option B"),
        ("Is it (A) differentiable (B) not?", "A", "A | (A) | A. differentiable | A)",
         "B | (B) | B. not | C"),
        ("Which month: A. May B. June C. July?", "C", "C | (C) | C. July | C: July",
         "A | B | (B) | B. June | A. May"),
        ("Which line is the steepest: (A) AB (B) CD (C) EF?", "C",
         "C | (C) | C. EF | C) EF | Option C | C.", "A | B | (B) | A. AB | D | BC"),
        ("Pick the largest: A. 2 B. 4 C. 8 D. 16 E. 32", "E",
         "E | (E) | E. 32 | E) 32 | E: 32", "D | A | (C) | D. 16 | A, E"),
        ("Is it (A) periodic (B) not?", "B", "B | (B) | B. not | B) | b",
         "A | (A) | A. periodic | C | AB"),
    )
)  # fmt: skip

DYNA_TEXT = tuple(
    ask(question, gold, right, wrong)
    for question, gold, right, wrong in (
        ("Is the function even, odd or neither?", "odd", "odd | Odd | The function is odd",
         "even | neither | not odd | oddly shaped even"),
        ("Which month is the hottest?", "Sep", "Sep | sep | in Sep", "Aug | Oct | separate | None"),
        ("Which player has the most points?", "Dana", "Dana | dana | Dana has the most",
         "Dan | Ruth | Ruth has the most | not Dana"),
        ("What is the ratio of wins to losses?", "5:2", "5:2 | The ratio is 5:2 | 5:2.",
         "2:5 | 5:3 | 15:2 | 5"),
        ("Which shape is it?", "right triangle",
         "right triangle | Right triangle | a right triangle",
         "triangle | circle | not a right triangle | square"),
        ("Is it convex, concave or neither?", "concave", "concave | Concave | It is concave",
         "convex | neither | not concave | concave or convex"),
        ("Which colour has the smallest part?", "blue", "blue | Blue | the blue part | blue.",
         "red | green | not blue | blueberry red"),
        ("What is the ratio of the areas?", "3:4", "3:4 | The ratio is 3:4 | 3:4.",
         "4:3 | 13:4 | 3 | 3:5"),
        ("Which month is the coldest?", "Jan", "Jan | jan | in Jan", "Feb | Dec | not Jan | None"),
        ("Who is the shortest?", "Tom", "Tom | tom | Tom is the shortest",
         "Tomas | Ann | Ann is the shortest | not Tom | Tim"),
        ("Is the graph connected?", "Yes", "Yes | yes | Yes, it is",
         "No | no | Not connected | yes and no"),
    )
)  # fmt: skip

MV_CHOICE = tuple(
    ask(question, gold, right, wrong)
    for question, gold, right, wrong in (
        ("Which is a cube?\nA.\n<image_1>\nB.\n<image_2>\nC. both\nD. neither", "B",
         "B | (B) | B. | Option B", "A | C | (D) | D. neither | AB"),
        ("How long is it?\nA. 2 cm\nB. 3 cm\nC. 4 cm\nD. 6 cm\n<image_1><image_2>", "C",
         "C | (C) | C. 4 cm | 4 cm | 4", "A | B. 3 cm | 6 cm | (A) | 5"),
        ("Which is true?\nA. (1)\nB. (1)(2)\nC. (2)(3)\nD. (1)(2)(3)\n<image_1><image_2>", "D",
         "D | (D) | D. (1)(2)(3) | {D}", "A | B | C | (A) | B. (1)(2)"),
        ("What is AB : CD?\nA. 1:2\nB. 2:3\nC. 3:4\nD. 1:1\n<image_1><image_2>", "A",
         "A | (A) | A. 1:2 | 1:2", "B | C | 2:3 | 2:1 | D. 1:1"),
        ("Which colour?\nA. red\nB. green\nC. blue\nD. white\n<image_1><image_2>", "B",
         "B | (B) | green | B. green", "A | red | D. white | (C) | blue"),
    )
)  # fmt: skip

MV_SINGLE = (
    ask("<image_1><image_2> How wide is it?", "12 \\#\\# 12.0",
        "12 | 12.0 | 12 cm | $12$ | \\frac{24}{2}", "21 | 1.2 | 120 | -12 | 13"),
    ask("<image_1><image_2> How long is AC?", "$4+\\sqrt{2} \\# \\# \\sqrt{2}+4$",
        "4+\\sqrt{2} | \\sqrt{2}+4 | \\sqrt 2 + 4", "4-\\sqrt{2} | 4\\sqrt{2} | 4 | \\sqrt{2} | 6"),
    ask("<image_1><image_2> How large is the angle?", "$35^{\\circ}$",
        "35^{\\circ} | 35° | 35 | 35 degrees", "55^{\\circ} | 53° | 350 | -35 | 36"),
    ask("<image_1><image_2> Fill in >, < or =.", "$=$", "= | $=$", "> | < | $<$ | \\ne"),
    ask("<image_1><image_2> Find the area.", "\\frac{3\\sqrt{3}}{4}",
        "\\frac{3\\sqrt{3}}{4} | \\frac{3}{4}\\sqrt{3} | 3\\sqrt{3}/4",
        "\\frac{3\\sqrt{3}}{2} | 3\\sqrt{3} | \\frac{\\sqrt{3}}{4} | 3/4"),
)  # fmt: skip

MV_PARTS = tuple(
    ask(f"<image_1><image_2> (1) Find the first. (2) Find the second. No. {number}", *row)
    for number, row in enumerate(
        (
            ("（1）12；（2）30.",
             "(1) 12; (2) 30 | （1）12；（2）30 | (1) 12 cm; (2) 30 cm | (1) 12, (2) 30",
             "(1) 12; (2) 31 | (1) 30; (2) 12 | 12 | (1) 12 | (1) 13; (2) 30"),
            ("(1) $\\sqrt{2}$ ；（2） $7.5^{\\circ}$ or $30^{\\circ}$",
             "(1) \\sqrt{2}; (2) 7.5^{\\circ} or 30^{\\circ} | (1) \\sqrt 2; (2) 30°, 7.5°",
             "(1) \\sqrt{2}; (2) 30^{\\circ} | (1) 2; (2) 7.5° or 30° | (1) \\sqrt{2}"),
            ("(1) B (3, 5); (2) (3, 4);（3）7.5.",
             "(1) (3,5); (2) (3,4); (3) 7.5 | (1) B(3, 5); (2) (3, 4); (3) \\frac{15}{2}",
             "(1) (5,3); (2) (3,4); (3) 7.5 | (1) (3,5); (2) (3,4) | (1) (3,5); (2) (3,4); (3) 7"),
            ("(1) Parallel \n\n(2) $40^{\\circ}$",
             "(1) parallel; (2) 40^{\\circ} | (1) Parallel; (2) 40° | (1) parallel (2) 40",
             "(1) perpendicular; (2) 40^{\\circ} | (1) parallel; (2) 50° | 40"),
            ("(1) $y=2x$; (2) $\\frac{40}{9}$",
             "(1) y=2x; (2) \\frac{40}{9} | (1) y = 2x; (2) 40/9 | (1) y=2x (2) \\dfrac{40}{9}",
             "(1) y=3x; (2) \\frac{40}{9} | (1) y=2x; (2) \\frac{9}{40} | (1) y=2x"),
        )
    )
)  # fmt: skip
