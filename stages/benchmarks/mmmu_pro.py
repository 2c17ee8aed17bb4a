"""MMMU-Pro, vision: 1730 questions that stand in the image alone (2409.02813).

The up to ten options are known, so that an answer by text counts, but they aren't shown; where the
text of the right one is there twice, letters alone count, as they always do for the authors. These
ask for a last line `Answer: $LETTER`, which the project's verifier reads.
"""

from string import ascii_uppercase

from data.columns import Row
from stages.benchmarks import Question
from stages.benchmarks.published import Part, Published
from stages.benchmarks.rows import make_question, parse_list, required_image
from stages.verifiers.kinds.text import normalize

PROMPT = (
    "Write out the multiple-choice question in the image and then solve it. The last line of your "
    "response should be of the following format: 'Answer: $LETTER' (without quotes) where LETTER "
    "is one of options. Think step by step before answering."
)


def make(row: Row, part: Part) -> Question:
    """A row of the only part."""
    options = parse_list(row["options"])
    texts = [normalize(option) for option in options]
    is_there_twice = any(
        letter == row["answer"] and texts.count(text) > 1
        for letter, text in zip(ascii_uppercase, texts, strict=False)
    )
    return make_question(
        row["id"],
        PROMPT,
        row["answer"],
        required_image(row["image"]),
        answer_type="choice",
        text="",
        options=() if is_there_twice else tuple(options),
        labels={"subject": row["subject"]},
    )


PUBLISHED = Published(
    name="mmmu_pro",
    repo="MMMU/MMMU_Pro",
    parts=(Part(split="test", config="vision"),),
    columns=("id", "image", "options", "answer", "subject"),
    make=make,
)
load = PUBLISHED.load
