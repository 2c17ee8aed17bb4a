"""Pairs whose verdict is known, tried before a run: a verifier with a dead branch judges nobody."""

from stages.verifiers.decide import decide

OPTIONS = "What is shown?\n(A) a red square\n(B) a blue circle\n(C) 12 cm"

RULES = (
    ("1/2", "0.5", "", True),
    ("1/2", "0.25", "", False),
    ("1,234", "1234", "", True),
    ("6.63\\times 10^{-34}", "6.63\\times 10^{-31}", "", False),
    ("\\frac{\\sqrt{2}}{2}", "\\frac{1}{\\sqrt{2}}", "", True),
    ("x^2+2x+1", "(x+1)^2", "", True),
    ("x^2+2x+1", "(x+2)^2", "", False),
    ("x^2+y^2=4", "4-y^2=x^2", "", True),
    ("[0,1)", "0 \\leq x < 1", "", True),
    ("[0,1)", "[0,1]", "", False),
    ("\\{1,2\\}", "2, 1", "", True),
    ("(1,2)", "(2,1)", "", False),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "(1,2)", "", True),
    ("0.5 m", "50 cm", "", True),
    ("2 kg", "2 g", "", False),
    ("90^\\circ", "90", "", True),
    ("3.1", "\\pi", "Round to one decimal place.", True),
    ("B", "a blue circle", OPTIONS, True),
    ("B", "A or B", OPTIONS, False),
    ("12:30", "12:30 pm", "What time is it?", True),
    ("3:4", "6:8", "What is the ratio?", True),
    ("Yes", "No", "", False),
    ("等腰三角形", "等腰三角形", "", True),
)
"""Gold answer, answer, question, and whether it is right."""

SYMBOLIC = (
    ("\\int_0^1 2x\\,dx", "1", True),
    ("\\sum_{k=1}^{3} k", "6", True),
    ("\\sum_{k=1}^{3} k", "7", False),
)
"""Gold answer, answer, and whether the symbolic engine is to find them equal."""


def wrong_rules() -> list[str]:
    """The pairs that the rules judge otherwise than they must."""
    return [
        f"{gold} = {answer}"
        for gold, answer, question, right in RULES
        if decide(gold, answer, question, None, ()).correct is not right
    ]
