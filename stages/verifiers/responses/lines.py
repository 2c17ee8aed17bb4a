"""The line of a response that holds its answer, where the answer is in no box or tag."""

import itertools
import re

from stages.verifiers.choices.options import options_in
from stages.verifiers.kinds.polarity import stance
from stages.verifiers.responses.boxes import SEVERAL
from stages.verifiers.responses.bullets import solutions_listed, values_in_front
from stages.verifiers.responses.clauses import clause_asked_for
from stages.verifiers.responses.counted import without_labels
from stages.verifiers.responses.letters import settled_letter
from stages.verifiers.responses.mentions import is_number
from stages.verifiers.responses.rejected import without_rejected
from stages.verifiers.responses.sentences import NUMERIC, stated
from stages.verifiers.responses.verdicts import judged_letters, letter_left

EXCLAIMED = re.compile(r"(?<=\d)!+$")
"""Enthusiasm, no factorial."""
PARTS = re.compile(r"^\W{0,2}[(（](?:1|i|a)[)）]")
SOLVED = re.compile(r"^[解答]\s?[:：]\s*")
MARKS = re.compile(r"(?=[(（](?:\d|[ivx]{1,3}|[a-e])[)）])")
PART_MARK = re.compile(r"\W{0,2}[(（](\w{1,3})[)）]\s*")
CHECK = re.compile(
    r"[\W_]{0,6}(?:check|verif(?:y|ication)|note|proof|explanation|reason(?:ing)?|验证|检验|验算|注)"
    r"[*_\s]{0,4}[:：]",
    re.IGNORECASE,
)
"""What a line after the answer begins with that says why it is right."""
BOLD = re.compile(r"\*\*([^*]{1,80})\*\*")
FIGURE = re.compile(r"-?\d[\d.,]*(?<!\.)")
PART = re.compile(
    r"[\s*#-]{0,8}(?:[解答][:：]|综上(?:所述)?[,，:：]?|所以[,，]?)?[(（]?(\d|[ivx]{1,3}|[a-e])[)）.]\s*"
)
ALONE = re.compile(r"[*(\[]{0,4}[A-J][*)\].:]{0,4}")
"""A letter as a line of its own."""
NAMED = re.compile(r"[-*•·\s]*\$?\\?[a-zA-Z]\w?(?:_\{?\d\}?)?\s*=\s*[^=]{1,60}")
LABELLED_KINDS = SEVERAL | {"text", "region"}
ROWS = re.compile(
    r"\\begin\{(?P<name>aligned|align\*?|gathered|gather\*?|split|eqnarray\*?)\}"
    r"(?P<rows>.{1,600}?)\\end\{(?P=name)\}[.,]?",
    re.DOTALL,
)
ROW_END = re.compile(r"\\\\(?:\[[^\]]{0,8}\])?")
CLOSING = re.compile(
    r"(?:I hope (?:it|this) is correct|Hope this helps|Let me know[^.]*"
    r"|This (?:completes|concludes|finishes) the (?:proof|solution|argument|calculation)"
    r"|[∎■□](?=\s*$)|(?<![A-Za-z])Q\.?E\.?D\.?(?![A-Za-z])"
    r"|[(（]?(?:Verified|Checked) by [^.()（）]{1,40}[)）]?)[.!]?[)）]?\s*",
    re.IGNORECASE,
)
LABELLED = re.compile(r"[\w\s-]{1,24}[:：]\s*(.+)")
SENTENCE = re.compile(r"(?<=[^\d\s][.!?])\s+(?=[A-Z\\$*(])|(?<=\d[.!?])\s+(?=[A-Z*])|(?<=[。！？])")


def closing_answer(text: str, question: str = "", kind: str = "") -> str | None:
    """The answer that the last line or sentence of a response comes to, or None.

    Args:
        text: what follows the thinking, without boxes.
        question: what was asked, for the form it asks for.
        kind: of the gold answer: a letter, a number or words are looked for.
    """
    text = CLOSING.sub("\n", text).strip()
    if not text:
        return None
    if kind == "choice" and (judged := judged_letters(text, question)):
        return judged
    if "bracket" in question.lower() and (marked := re.findall(r"\[([^\[\]]{1,80})\]", text)):
        return str(marked[-1])
    lines = [line.strip() for line in text.splitlines() if line.strip(" \t*-_#`")]
    while len(lines) > 1 and CHECK.match(lines[-1]):
        lines.pop()
    if not lines:
        return None
    if display := _display(text, kind):
        return display
    labelled = kind in LABELLED_KINDS and len(lines) >= 2
    if labelled and all(LABELLED.fullmatch(line.strip("*- ")) for line in lines[-2:]):
        return "; ".join(line.strip("*- ") for line in lines[-2:])
    if lines[-1].strip("*# ").endswith((":", "：")):
        return None
    if kind in SEVERAL and (parts := _parts(lines) or _named(lines) or solutions_listed(lines)):
        return parts
    line = lines[-1]
    if kind in NUMERIC:
        line = without_labels(without_rejected(line, question), question)
        line = clause_asked_for(line, question, kind)
    found = phrase(line, kind, question)
    if kind == "choice" and settled_letter(lines[-1]) is None and ALONE.fullmatch(lines[0]):
        return lines[0]  # the answer first, then why
    return found


def _display(text: str, kind: str) -> str | None:
    """The displayed formula that a text ends with, or None."""
    text = text.rstrip(" \n.。,，;；*")
    for opening, closing in (("\\[", "\\]"), ("$$", "$$")):
        end = len(text) - len(closing)
        if text.endswith(closing) and (start := text.rfind(opening, max(0, end - 600), end)) >= 0:
            content = text[start + len(opening) : end].strip()
            return _last_row(content, kind) if content and "\n\n" not in content else None
    return None


def _last_row(content: str, kind: str) -> str:
    """The last row of a display that works something out, or all of it where rows are values."""
    rows_ = ROWS.fullmatch(content)
    if rows_ is None:
        return content
    rows = [row.strip() for row in ROW_END.split(rows_["rows"]) if row.strip()]
    own = [row for row in rows if not row.startswith(("&", "="))]
    if not rows or (kind in SEVERAL and kind != "equation" and len(own) > 1):
        return content
    return rows[-1].replace("&", "")


def _parts(lines: list[str]) -> str | None:
    """The answers of the numbered parts that a response ends with, a line each."""
    parts: list[str] = []
    for line in reversed(lines):
        match = PART.match(line)
        found = stated(line[match.end() :], "") if match else None
        if match is None or found is None:
            return None
        parts.insert(0, f"({match[1]}) {found}")
        if match[1] in ("1", "i", "a"):
            return "; ".join(parts) if len(parts) > 1 else None
    return None


def _named(lines: list[str]) -> str | None:
    """The values with names that a response ends with, a line each."""
    values = list(itertools.takewhile(NAMED.fullmatch, reversed(lines)))
    names = {value.partition("=")[0].strip("-*•·$ ") for value in values}
    if not 1 < len(values) == len(names):
        return None
    return ", ".join(value.strip("-*•·$ .,;") for value in reversed(values))


def phrase(line: str, kind: str = "", question: str = "") -> str | None:
    """The answer in one line: all of it if it is short, else what its last sentence states."""
    line = SOLVED.sub("", CLOSING.sub(" ", line).strip())
    sentences = [part.strip() for part in SENTENCE.split(line) if part.strip(" *_")]
    if not sentences:
        return None
    if kind == "choice" and (found := settled_letter(line) or settled_letter(sentences[-1])):
        return found
    if kind == "choice" and (left := letter_left(sentences[-1], question)):
        return left
    if kind == "choice" and (value := _value(line, question)):
        return value
    if kind == "number" and (bold := _bold(line)):
        return stated(bold, kind, question)
    if kind == "yes/no":
        sentences = [part for part in sentences if not part.startswith("(")] or sentences
        ends = sentences[-1], sentences[0]
        return next((part for part in ends if stance(part, question) is not None), None)
    if PARTS.match(line):
        return _parts_within(line)
    if kind == "number" and re.search("[a-z]", sentences[-1]):
        sentences[-1] = EXCLAIMED.sub("", sentences[-1])
    return stated(sentences[-1], kind, question)


def _value(line: str, question: str) -> str | None:
    """The number that a line comes to, where the options are numbers; else None."""
    options = options_in(question)
    if not options or not all(map(is_number, options)):
        return None
    return phrase(clause_asked_for(without_labels(line, question), question, "number"), "number")


def _parts_within(line: str) -> str:
    """What the parts of a line state, `(1) AB is 5; (2) the area is 12`; or the line itself."""
    marked = [(mark, part) for part in MARKS.split(line) if (mark := PART.match(part))]
    found = [(mark[1], stated(part[mark.end() :].strip(" ;；,，"), "")) for mark, part in marked]
    if len(found) < 2 or not all(part for _, part in found):
        return line
    return "; ".join(f"({name}) {part}" for name, part in found)


def _bold(line: str) -> str | None:
    """The only thing that a line puts in bold, if that is a number or names one; else None."""
    match = BOLD.search(line)
    if match is None or line.count("**") != 2:
        return None
    return match[1] if FIGURE.fullmatch(match[1]) or NAMED.fullmatch(match[1]) else None


def first_phrase(text: str, kind: str = "", question: str = "") -> str | None:
    """The answer right after a marker such as `Final answer:`; it comes first, reasons later."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip(" \t*-_#`$")]
    if not lines:
        return None
    block = re.match(r"[*\s$]*(?:\\\[|\$\$)\s*(.{1,600}?)\s*(?:\\\]|\$\$)", text.strip(), re.DOTALL)
    if block:
        return _last_row(block[1].strip(), kind)
    labelled = kind in LABELLED_KINDS and len(lines) > 1
    if labelled and all(LABELLED.fullmatch(line.strip("*- ")) for line in lines[:2]):
        return "; ".join(line.strip("*- ") for line in lines[:2])
    if kind in SEVERAL and len(listed := values_in_front(lines)) > 1:
        return ", ".join(listed)
    line = CLOSING.sub(" ", lines[0]).strip()
    sentences = [part.strip() for part in SENTENCE.split(line) if part.strip(" *_")]
    if not sentences:
        return None
    if kind == "choice" and (found := settled_letter(sentences[0])):
        return found
    if kind == "yes/no":
        return line
    if PARTS.match(line):
        marked = [match for one in lines if (match := PART_MARK.match(one))]
        parts = [(mark[1], stated(mark.string[mark.end() :], "")) for mark in marked]
        if len(parts) > 1 and all(part for _, part in parts):
            return "; ".join(f"({name}) {part}" for name, part in parts)
        return " ".join(mark.string for mark in marked)
    if kind == "number":
        sentences[0] = EXCLAIMED.sub("", sentences[0])
    return stated(sentences[0], kind, question)
