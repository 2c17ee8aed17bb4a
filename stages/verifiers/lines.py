"""The line of a response that holds its answer, where the answer is in no box or tag."""

import re

from stages.verifiers.boxes import SEVERAL
from stages.verifiers.letters import settled_letter
from stages.verifiers.sentences import NUMERIC, clause_asked_for, stated
from stages.verifiers.text import polarity

EXCLAIMED = re.compile(r"(?<=\d)!+$")
"""Enthusiasm, no factorial."""
PARTS = re.compile(r"^\W{0,2}[(（](?:1|i|a)[)）]")
PART = re.compile(r"[\s*#-]{0,8}[(（]?(\d|[ivx]{1,3}|[a-e])[)）.]\s*")
LABELLED_KINDS = SEVERAL | {"text", "region"}
CLOSING = re.compile(
    r"(?:I hope (?:it|this) is correct|Hope this helps|Let me know[^.]*)[.!]?\s*", re.IGNORECASE
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
    if "bracket" in question.lower() and (marked := re.findall(r"\[([^\[\]]{1,80})\]", text)):
        return str(marked[-1])
    lines = [line.strip() for line in text.splitlines() if line.strip(" \t*-_#`")]
    if not lines:
        return None
    if display := _display(text):
        return display
    labelled = kind in LABELLED_KINDS and len(lines) >= 2
    if labelled and all(LABELLED.fullmatch(line.strip("*- ")) for line in lines[-2:]):
        return "; ".join(line.strip("*- ") for line in lines[-2:])
    if lines[-1].strip("*# ").endswith((":", "：")):
        return None
    if kind in SEVERAL and (parts := _parts(lines)):
        return parts
    line = clause_asked_for(lines[-1], question) if kind in NUMERIC else lines[-1]
    return phrase(line, kind)


def _display(text: str) -> str | None:
    """The displayed formula that a text ends with, or None."""
    text = text.rstrip(" \n.。,，;；*")
    for opening, closing in (("\\[", "\\]"), ("$$", "$$")):
        end = len(text) - len(closing)
        if text.endswith(closing) and (start := text.rfind(opening, max(0, end - 600), end)) >= 0:
            content = text[start + len(opening) : end].strip()
            return content if content and "\n\n" not in content else None
    return None


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


def phrase(line: str, kind: str = "") -> str | None:
    """The answer in one line: all of it if it is short, else what its last sentence states."""
    line = CLOSING.sub(" ", line).strip()
    sentences = [part.strip() for part in SENTENCE.split(line) if part.strip(" *_")]
    if not sentences:
        return None
    if kind == "choice" and (found := settled_letter(line) or settled_letter(sentences[-1])):
        return found
    if kind == "yes/no":
        said = [part for part in (sentences[-1], sentences[0]) if polarity(part) is not None]
        return said[0] if said else None
    if PARTS.match(line):
        return line
    if kind == "number" and re.search("[a-z]", sentences[-1]):
        sentences[-1] = EXCLAIMED.sub("", sentences[-1])
    return stated(sentences[-1], kind)


def first_phrase(text: str, kind: str = "") -> str | None:
    """The answer right after a marker such as `Final answer:`; it comes first, reasons later."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip(" \t*-_#`$")]
    if not lines:
        return None
    block = re.match(r"[*\s$]*(?:\\\[|\$\$)\s*(.{1,600}?)\s*(?:\\\]|\$\$)", text.strip(), re.DOTALL)
    if block:
        return block[1].strip()
    labelled = kind in LABELLED_KINDS and len(lines) > 1
    if labelled and all(LABELLED.fullmatch(line.strip("*- ")) for line in lines[:2]):
        return "; ".join(line.strip("*- ") for line in lines[:2])
    line = CLOSING.sub(" ", lines[0]).strip()
    sentences = [part.strip() for part in SENTENCE.split(line) if part.strip(" *_")]
    if not sentences:
        return None
    if kind == "choice" and (found := settled_letter(sentences[0])):
        return found
    if kind == "yes/no":
        return line
    if PARTS.match(line):
        parts = [one for one in lines if re.match(r"\W{0,2}[(（]\w{1,3}[)）]", one)]
        return " ".join(parts)
    if kind == "number":
        sentences[0] = EXCLAIMED.sub("", sentences[0])
    return stated(sentences[0], kind)
