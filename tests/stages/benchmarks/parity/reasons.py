"""Why a scorer comes to another verdict than ours: what is known of its rules."""

import re

LLM = (
    "the number is read by float() once an LLM has extracted it: no unit, LaTeX, comma or fraction"
)
REASONS = (
    (r".*", "never ends", r".*", "it takes an answer out of thinking that never ends"),
    (r"olympiad tuple|olympiad interval", "either", r".*",
     "it compares as many parts as both have, and does not see the second answer"),
    (r".*", "either|undecided|either json", r".*",
     "two answers are offered, and it takes the one that fits"),
    (r"open", "empty box", r".*", "it finds the gold text in a sentence that gives no answer"),
    (r"choice letter", r".*", r"E\. 35%", "`E.` is no letter to it, and `5%` is found in `35%`"),
    (r"option text", r".*", r"green", "any text is taken for the most similar option"),
    (r"integer|float", r".*", r".*", LLM),
    (r"list", r".*", r".*", "lists are compared as texts"),
    (r"free-form", "bare", r"5!", "we take the exclamation mark after a number for enthusiasm"),
    (r"free-form", r"marked|headed|last line|explained|bold|in Chinese|tagged", r".*",
     "where there is no box and no `answer is` it takes the whole response for the answer"),
    (r"free-form", r".*", r".*\\text.*|\d+ triangles", "a unit is a product of unknowns to it"),
    (r"free-form", r".*", r".*x.*", "formulas with unknowns are equal as texts only"),
    (r"free-form", r".*", r"2\\frac.*", "a mixed number is a product to it"),
    (r"free-form", r".*", r".*", "its LaTeX reader does not know this spelling"),
    (r"olympiad numerical", r".*", r"350|0\.035|2\.52|25200",
     "a hundred times the gold answer, or a hundredth of it, counts as a percentage"),
    (r"olympiad numerical", r".*", r"0|1e-9", "an error of 1e-8 is allowed, of small numbers too"),
    (r"olympiad numerical", r".*", r".*mathrm.*", "a unit is a product of unknowns to it"),
    (r"olympiad numerical", r".*", r".*times.*", "it can't read 6.63e-34 as LaTeX"),
    (r"olympiad expression", "dollars", r".*", "our reader of prose finds nothing in `F/(m+M)`"),
    (r"olympiad expression", r".*", r"n\(.*", "n(n-1) is a function of n-1 to it"),
    (r"olympiad equation", r".*", r".*", "a quotient of 1.0 is no whole number to it"),
    (r"olympiad interval", r".*", r".*[<>]|.*\\le.*", "an inequality is no interval to it"),
    (r"olympiad interval", r".*", r".*\\frac12.*", "it can't read \\frac12"),
    (r"olympiad interval", r".*", r".*", "parts of a union must be in order, without spaces"),
    (r"olympiad tuple", r".*", r".*", "it compares as many parts as both have"),
    (r"open", r".*", "MgSO4", "the gold text is found in another word"),
    (r"open", "boxed|explained|courteous", r".*",
     "it takes what stands behind `so`, `is` and the like, and then does not look at the box"),
    (r"dynamath text", r".*", r"not.*|oddly.*|concave or.*|blueberry.*|Tomas|1\d:\d",
     "the gold text is found in another answer"),
    (r"dynamath float", r".*", r".*[π−,/].*", "the number is read by float()"),
    (r"dynamath multiple choice", r".*", r"AB|BC|Option [CD]",
     "it looks at the first three characters"),
)  # fmt: skip
OF_VLMEVALKIT = (
    (r"dynamath text", r".*", r".*",
     "it looks for the answer in the gold text, not for the gold text in the answer"),
)  # fmt: skip
CASE = "it minds the case"
BOTH = "we read two answers with `or` as a list of both, in which the gold one is found"


def why(scorer: str, type_: str, form: str, gold: str, answer: str, theirs: str) -> str:
    """One reason, in a few words; of several that apply the first."""
    if form == "either" and theirs == "-":
        return BOTH
    is_same = answer.casefold() == gold.casefold()
    if type_.startswith("dynamath") and is_same and scorer == "official":
        return CASE
    known = OF_VLMEVALKIT + REASONS if scorer == "vlmevalkit" else REASONS
    for types, forms, answers, reason in known:
        matches = zip((types, forms, answers), (type_, form, answer), strict=True)
        if all(re.fullmatch(pattern, text, re.DOTALL) for pattern, text in matches):
            return reason
    return ""
