"""How a model may write an answer down: the same answer in several responses."""

from collections.abc import Callable, Mapping, Sequence

Form = Callable[[str], str]

USUAL: Mapping[str, Form] = {
    "boxed": lambda a: f"The two lengths are equal, so we can divide.\n\n\\boxed{{{a}}}",
    "thought": lambda a: f"<think>Is it 7? No. Let me count again.</think>We get \\boxed{{{a}}}.",
    "marked": lambda a: f"We read the values off and combine them.\n\nAnswer: {a}",
    "stated": lambda a: f"After the last step nothing is left to do. The answer is {a}.",
    "headed": lambda a: f"First the base, then the height.\n\n**Final answer:** {a}",
    "bare": lambda a: a,
    "last line": lambda a: f"Everything cancels but one term, which we keep.\n\n{a}",
    "explained": lambda a: f"Answer: {a}\n\nThis holds because both triangles are similar.",
    "bold": lambda a: f"### Step 2\nCompare both sides.\n\n**Answer: {a}**",
    "display": lambda a: f"Hence\n\\[\n\\boxed{{{a}}}\n\\]",
    "courteous": lambda a: f"The final answer is: $\\boxed{{{a}}}$. I hope it is correct.",
    "in Chinese": lambda a: f"两边相等，所以答案是{a}。",
    "tagged": lambda a: f"<think>Let me see.</think>\n<answer>{a}</answer>",
}
"""Forms that say what the answer is."""

UNFINISHED: Mapping[str, Form] = {
    "never ends": lambda a: f"<think>The two lengths are equal. So perhaps it is \\boxed{{{a}}}",
    "refused": lambda a: "The picture is too dark for me to read.",
    "empty box": lambda a: f"Somewhere near {a}, but I lost track of it.\n\n\\boxed{{}}",
}
"""Forms that give no answer, whatever was thought of on the way."""

HEDGED: Mapping[str, Callable[[str, str], str]] = {
    "either": lambda a, b: f"\\boxed{{{a} \\text{{ or }} {b}}}",
    "undecided": lambda a, b: f"The answer is either {a} or {b}.",
}
"""Forms that leave it open which of two answers is meant."""

JSON: Mapping[str, Form] = {
    "json": lambda a: f'{{"solution": "We read it off the plot.", "short answer": "{a}"}}',
    "fenced": lambda a: (
        f'```json\n{{\n    "solution": "Step by step.",\n    "short answer": "{a}"\n}}\n```'
    ),
    "thought json": lambda a: (
        "<think>It rises, then it falls.</think>"
        f'{{"solution": "It rises first.", "short answer": "{a}"}}'
    ),
    "indented": lambda a: (
        f'{{\n    "solution": "We read the bars.",\n    "short answer": "{a}"\n}}'
    ),
    "reordered": lambda a: f'{{"short answer": "{a}", "solution": "The legend says so."}}',
    "escaped": lambda a: (
        '{"solution": "We divide: $\\\\frac{6}{2} = 3$.\\nThen we compare.", '
        f'"short answer": "{a}"}}'
    ),
    "raw LaTeX": lambda a: f'{{"solution": "As $\\sqrt{{9}} = 3$.", "short answer": "{a}"}}',
    "boxed": USUAL["boxed"],
    "marked": USUAL["marked"],
}
"""Forms of DynaMath, which asks for JSON."""

JSON_UNFINISHED: Mapping[str, Form] = {
    **UNFINISHED,
    "no short answer": lambda a: f'{{"solution": "Somewhere near {a}."}}',
}
JSON_HEDGED: Mapping[str, Callable[[str, str], str]] = {
    **HEDGED,
    "either json": lambda a, b: f'{{"solution": "Both fit.", "short answer": "{a} or {b}"}}',
}

OLYMPIAD: Mapping[str, Form] = {
    "asked for": lambda a: f"We add both equations.\n\nSo the final answer is $\\boxed{{{a}}}$.",
    "thought": USUAL["thought"],
    "boxed": USUAL["boxed"],
    "dollars": lambda a: f"We add both equations.\n\nSo the final answer is ${a}$.",
    "display": lambda a: f"Hence\n$$\n\\boxed{{{a}}}\n$$",
    "noted": lambda a: f"So the final answer is \\boxed{{{a}}}.\n\nThe case n=1 is trivial.",
    "approximate": lambda a: f"So the final answer is $\\boxed{{{a}}}$ (all digits shown).",
}
"""Forms of OlympiadBench, which says how a solution is to end."""


SEVERAL: Mapping[str, Form] = {
    **OLYMPIAD,
    "a box each": lambda a: (
        "We solve for both.\n\nSo the final answer is "
        + ", ".join(f"$\\boxed{{{part}}}$" for part in a.split(","))
        + "."
    ),
}
"""Forms of several answers."""


def rotated(forms: Mapping[str, Form], start: int, number: int) -> Sequence[tuple[str, Form]]:
    """So many of the forms, beginning with another one each time."""
    items = list(forms.items())
    return [items[(start + step) % len(items)] for step in range(min(number, len(items)))]
