"""Answers that are right in part: text read off an image, and free text (SophiaVL-R1, 2505.17018).

The outcome reward R_o of such an answer is a number in [0, 1]: for `ocr` one minus the word error
rate, for `free text` the mean F-measure of ROUGE-1, ROUGE-2 and ROUGE-L. An answer counts as right
from 0.5 on. Chinese characters are words of their own, for nothing stands between them.
"""

import functools
import re
from typing import TYPE_CHECKING

import numpy as np

from stages.verifiers.responses.boxes import BOX, last_box
from stages.verifiers.responses.extract import FINAL_HEAD, after_thinking, calmed

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

OCR, FREE_TEXT = "ocr", "free text"
KINDS = frozenset((OCR, FREE_TEXT))
RIGHT = 0.5
"""R_o from which an answer counts as right."""
LONGEST_GOLD = 20_000
"""Characters."""
LONGEST_TEXT = 40_000
"""Characters from the end of a response that count."""
MOST_CELLS = 2_000_000
"""Words of gold answer times words of answer: a second or so of ROUGE-L."""
REMEMBERED = 1_000
"""Rollouts of one question lie together, and each pair may be long."""

TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
LEAD = re.compile(
    r"(?:\A|\n)(?:[#*]|[^\S\n])*(?:(?:final\s+)?answer|答案)[*\s]*[:：][*\s]*", re.IGNORECASE
)
TEXT_COMMAND = re.compile(r"\A\\text\{(.*)\}\Z", re.DOTALL)
HAN = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")
WORD = re.compile(r"[^\W_]+")


def graded_kind(answer_type: str | None) -> str | None:
    """The kind of answer that a data set's type names, where that is one of these."""
    kind = re.sub(r"[\s_-]+", " ", answer_type or "").strip().casefold()
    return kind if kind in KINDS else None


def problem_of(gold: str) -> str | None:
    """Why nothing can be compared with a gold text; None: it can."""
    if len(gold) > LONGEST_GOLD:
        return "it is too long to be compared word by word"
    return None if WORD.search(gold) else "there is nothing to read in it"


def extract_text(text: str) -> str | None:
    """The answer of a response that is a text itself: all that follows the thinking.

    Of that the content of the last `<answer>` or box is the answer where there is one, or what
    follows a heading such as `Final answer:`.
    """
    tail = after_thinking(text)
    if tail is None:
        return None
    tail = calmed(tail[-LONGEST_TEXT:])
    if tags := TAGGED.findall(tail):
        tail = tags[-1]
    box = last_box(tail) if BOX.search(tail) else None
    if box is not None and box.content is not None:
        tail = TEXT_COMMAND.sub(r"\1", box.content.strip())
    elif heads := [*FINAL_HEAD.finditer(tail), *LEAD.finditer(tail)]:
        tail = tail[max(head.end() for head in heads) :]
    return tail.strip() if WORD.search(tail) else None


@functools.lru_cache(maxsize=REMEMBERED)
def grade(kind: str, gold: str, answer: str) -> float | None:
    """R_o of an answer, from 0 to 1; None where the texts are too long to be compared."""
    if len(words_of(gold)) * len(words_of(answer)) > MOST_CELLS:
        return None
    found = one_minus_word_errors(gold, answer) if kind == OCR else mean_rouge(gold, answer)
    # As the tables keep it: sums over a caption are then exact, whatever their order.
    return float(np.float32(found))


def one_minus_word_errors(gold: str, answer: str) -> float:
    """1 - WER, at least 0: WER is the words replaced, left out and added, per word of the gold."""
    import jiwer

    rate: float = jiwer.wer(HAN.sub(r" \1 ", gold), HAN.sub(r" \1 ", answer))
    return max(0.0, 1.0 - rate)


def mean_rouge(gold: str, answer: str) -> float:
    """The mean F-measure of ROUGE-1, ROUGE-2 and ROUGE-L.

    A gold answer of one word has no pair of words, so ROUGE-2, which would be 0 for the answer
    itself, is left out there.
    """
    names = ("rouge1", "rouge2", "rougeL") if len(words_of(gold)) > 1 else ("rouge1", "rougeL")
    found = _scorer().score(gold, answer)
    return float(sum(found[name].fmeasure for name in names) / len(names))


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without signs; each Chinese character is one."""
    return WORD.findall(HAN.sub(r" \1 ", text.casefold()))


class _Words:
    """What rouge-score calls a tokenizer; its own knows ASCII only."""

    def tokenize(self, text: str) -> list[str]:
        """As `words_of`."""
        return words_of(text)


@functools.cache
def _scorer() -> "RougeScorer":
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=_Words())
