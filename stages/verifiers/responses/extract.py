r"""The final answer of a response: what stands after the thinking, in the last box or marker."""

import json
import re
from collections.abc import Sequence

from stages.verifiers.formulas.longs import long_number
from stages.verifiers.responses.boxes import BOX, last_box
from stages.verifiers.responses.denials import DENIED, EMPTY, denial_in, denies
from stages.verifiers.responses.letters import ANY_LETTER, settled_letter
from stages.verifiers.responses.lines import closing_answer, first_phrase
from stages.verifiers.responses.open_ends import WORDED
from stages.verifiers.responses.part_boxes import boxed_parts
from stages.verifiers.responses.rejected import kept_of
from stages.verifiers.responses.retractions import taken_back
from stages.verifiers.spelling.halves import with_halves
from stages.verifiers.spelling.han import with_signs
from stages.verifiers.spelling.markup import without_html

CLOSED = ("</think>", "</thinking>", "<|end_of_thought|>", "◁/think▷", "</thought>", "</reasoning>")
OPENED = ("<think>", "<thinking>", "<|begin_of_thought|>", "◁think▷", "<thought>")
TURN_ENDS = re.compile(
    r"<\|(?:im_start|im_end|endoftext|eot_id|end|user|assistant)\|>|</s>|<｜end▁of▁sentence｜>"
)
VERDICT_LETTER = re.compile(r"\[\[\s*([A-J](?:,? ?[A-J]){0,9})\s*\]\]")
"""`[[B]]`, as judges of answers are told to write."""
TAG = re.compile(r"[<\[]answer[>\]]|<\|begin_of_box\|>", re.IGNORECASE)
END_TAG = re.compile(r"[<\[]/answer[>\]]|<\|end_of_box\|>", re.IGNORECASE)
NESTED = re.compile(r"(</?answer>)(?:\s*\1){2,}", re.IGNORECASE)
BLANKS = re.compile(r"[^\S\n]{2,}")
EMPTY_LINES = re.compile(r"\n(?:[^\S\n]?\n){2,}")
WIDE = re.compile(r"（([^（）\u4e00-\u9fff\n]{1,60}[，,][^（）\u4e00-\u9fff\n]{1,60})）")
"""A point in full-width brackets."""
REPEATED = re.compile(r"([^\w\s])\1{15,}")
FINAL = re.compile(
    r"(?:\bfinal\s+answers?\b|\bfinal\s+results?\b|最终答案|最后答案)[\s*_\"']*(?:(?:is"
    r"|are|:|：|为|是|would be)[\s*]*)+",
    re.IGNORECASE,
)
FINAL_HEAD = re.compile(
    r"(?:^|\n)(?:[#*✅]|[^\S\n])*final\s+answers?[#*\s]*(?:\n|$)", re.IGNORECASE
)
MARKER = re.compile(
    r"\b(?:the\s+)?(?:correct\s+|right\s+|best\s+|required\s+)?(?:answers?|option"
    r"|choice)\s*(?:(?:is|are|should be"
    r"|would be|must be)(?![a-z])|[:：])(?:\s*(?:therefore|thus|simply|[:：]))*"
    r"|\bfinal\s+values?\s*[:：]"
    r"|####|正确(?:答案|选项)(?:应?[是为]|[：:])*|正确的(?:结论|序号|说法|命题|选项|判断)?(?:应?[是为有]|[：:])|【答案】|答案(?:应?[是为选]|[：:])+"
    r"|故?(?:本题)?(?:应|正确)?选择?(?:项)?\s*(?:[是为]|[：:])?"
    r"(?=\s*[(（*$\\]*(?-i:[A-J](?![a-z])))",
    re.IGNORECASE,
)
JSON_ANSWER = re.compile(
    r"\{[^{}]*\"(?:short[ _]answer|final[ _]answer|answer)\"[^{}]*\}", re.IGNORECASE
)
JSON_FIELD = re.compile(
    r"\"(?:short[ _]answer|final[ _]answer"
    r"|answer)\"\s*:\s*(?:\"((?:[^\"\\]|\\.)*)\"|([-\d.eE+]+|\[[^\]]*\]))",
    re.IGNORECASE,
)
JSON_FIELD_ALONE = re.compile(r"\"(?:short|final)[ _]answer\"\s*:\s*\"[^\"]*\"", re.IGNORECASE)
ASKED = re.compile(
    r"(?:\bwhether|\bif|是否|\b(?:false|wrong|incorrect|untrue|not (?:true|correct|right|the case))"
    r"(?: to \w+)? that|\b(?:student(?:'s)?|reference|standard|gold)"
    r"|(?<!不)可能|不|也许|或许|大概"
    r"|\b(?:some\w*|others?|people|friends?|he|she|they|who|claims?) (?:\w+ )?"
    r"(?:says?|said|claim(?:s|ed)?|thinks?|thought|believed?s?|argued?s?)?(?: that)?)\s*$",
    re.IGNORECASE,
)
"""What stands before a marker that marks no answer: a question, a denial, somebody's answer."""
YES_AFTER = re.compile(r"[^\S\n]*[*$\\（(]*\w")
UNREAL = re.compile(r"\bwould be\b", re.IGNORECASE)
CONDITION = re.compile(r"\b(?:if|were|had)\b", re.IGNORECASE)
UNOPENED = re.compile(r"^\s*\}")
"""The end of `\\text{Answer: }`."""
SENTENCE_END = re.compile(r"[.!?\n]\s")
REMARK = re.compile(
    r"[\s*$]*(?:reasonable|plausible|sensible|consistent|verified|confirmed|valid|boxed|shown|stated"
    r"|given|expressed|obtained|within|positive,|negative,|(?:correct|right)(?!\s*[.\n]?\s*$)"
    r"|in (?:the|a|agreement|line)|above|below|supported|now\b|also\b|already\b)\b"
    r"|[\s*]*(?:合理|正确|符合|一致)",
    re.IGNORECASE,
)
"""What is said of an answer, and is none."""
VERDICT = re.compile(r"[\s*]*(?:correct|right|wrong|incorrect)\b(?!\W*[:：])", re.IGNORECASE)
DOUBTED = re.compile(r"\w\s*[?？]$")
LONGEST_ANSWER = 2000
"""Characters; what is longer is an argument, not an answer."""
LONGEST_TAGGED = 200
"""Characters of a tag's content that is an answer as it stands."""
LONGEST_TAIL = 20_000
"""Characters from the end in which an answer is looked for."""


def extract_answer(
    text: str, question: str = "", kind: str = "", known: Sequence[str] = ()
) -> str | None:
    """The final answer of a response, or None where it has none.

    An answer inside the thinking does not count: what is searched follows the last `</think>`, and
    a response whose `<think>` never closes has no answer. The last box wins, unless the response
    goes on to a final answer; then come tags, JSON, markers such as `Answer:`, and the last line.

    Args:
        text: the response.
        question: what was asked.
        kind: of the gold answer, which says if a letter, a number or words are to be found.
        known: the gold answer and the options: what denies is an answer where one of them does.
    """
    tail = after_thinking(text)
    if tail is None:
        return None
    tail = calmed(_unnested(_first_turn(tail))[-LONGEST_TAIL:])
    tail = VERDICT_LETTER.sub(r"\1", without_html(with_signs(with_halves(tail))))
    accepted = [one for one in known if kind != "yes/no" and denies(one)]
    answer = _answer_in(tail, question, kind)
    if answer is None:
        return denial_in(tail, accepted) if accepted else None
    answer = answer.strip()
    if len(answer) > LONGEST_ANSWER:
        return long_number(answer)
    if accepted and denies(answer):
        return answer or None
    if not answer or EMPTY.fullmatch(answer):
        return None
    if kind not in ("yes/no", "text", "choice") and DOUBTED.search(answer):
        return None
    if kind != "yes/no" and DENIED.match(answer):
        return None
    return answer


def after_thinking(text: str) -> str | None:
    """What follows the thinking; None where the thinking never ends."""
    position = max(text.rfind(mark) + len(mark) if mark in text else -1 for mark in CLOSED)
    if position < 0:
        return None if any(mark in text for mark in OPENED) else text
    tail = text[position:]
    return None if any(mark in tail for mark in OPENED) else tail


def _first_turn(text: str) -> str:
    for part in TURN_ENDS.split(text):
        if part.strip():
            return part
    return ""


def calmed(text: str) -> str:
    """A text without long runs of one sign, which mean nothing and keep patterns busy."""
    text = EMPTY_LINES.sub("\n\n", BLANKS.sub(" ", text))
    if "（" in text:
        text = WIDE.sub(lambda match: f"({match[1].replace('，', ',')})", text)
    return REPEATED.sub(lambda match: match[1] * 15, text)


def _unnested(text: str) -> str:
    """A text with each tag once where it is there many times over."""
    return NESTED.sub(r"\1", text) if "answer>" in text else text


def _answer_in(tail: str, question: str, kind: str) -> str | None:
    if tags := list(TAG.finditer(tail)):
        start = tags[-1].end()
        end = END_TAG.search(tail, start)
        inner = tail[start : end.start() if end else None].strip()
        if end and (instead := taken_back(tail[end.end() :], kind, 0, question)) is not None:
            return first_phrase(instead, kind, question)
        if len(inner) <= LONGEST_TAGGED and "\n" not in inner and not BOX.search(inner):
            return inner
        return _answer_in(inner, question, kind) or inner if inner else None
    box = boxed_parts(tail, question) if kind == "several" else None
    if box is None and BOX.search(tail):
        box = last_box(tail, kind)
    rest = tail if box is None else tail[box.end :]
    finals = [mark for mark in FINAL.finditer(rest) if _marks(rest, mark, kind)]
    finals = finals or list(FINAL_HEAD.finditer(rest))
    if finals:
        stated = _after(_behind(rest, finals[-1], kind), question, kind)
        if stated and (box is None or not EMPTY.fullmatch(stated)):
            return stated
    if box is not None:
        if (instead := taken_back(rest, kind, 0, question)) is not None:
            return first_phrase(instead, kind, question) or _marked(rest, question, kind)
        if kind == "choice":
            return _with_letter(box.content, rest)
        return kept_of(box.content, question) if box.content and kind not in WORDED else box.content
    if found := _json_answer(tail):
        return found
    if any(_marks(tail, mark, kind) for mark in MARKER.finditer(tail)):
        return _marked(tail, question, kind)
    return closing_answer(tail, question, kind)


def _marked(tail: str, question: str, kind: str) -> str | None:
    """The answer behind the last marker such as `Answer:`."""
    markers = [mark for mark in MARKER.finditer(tail) if _marks(tail, mark, kind)]
    if not markers:
        return None
    return _after(UNOPENED.sub("", _behind(tail, markers[-1], kind)), question, kind)


def _behind(tail: str, mark: re.Match[str], kind: str) -> str:
    """What follows a marker; the yes that `答案是` ends with, where it is one."""
    is_yes = kind == "yes/no" and mark[0].endswith("是") and not YES_AFTER.match(tail, mark.end())
    return tail[mark.end() - is_yes :]


def _after(text: str, question: str, kind: str) -> str | None:
    """The answer behind a marker, or the one that replaces it further on."""
    instead = taken_back(text, kind, 1, question)
    return first_phrase(text if instead is None else instead, kind, question)


def _with_letter(content: str | None, rest: str) -> str | None:
    """What a box holds, after the option that is named right behind it where it names none."""
    if not content or ANY_LETTER.search(content) or not (lines := rest.strip().splitlines()):
        return content
    letter = settled_letter(lines[0])
    return f"{letter}. {content}" if letter and len(letter) == 1 else content


def _marks(tail: str, mark: re.Match[str], kind: str) -> bool:
    """Whether an answer follows a marker, and no remark: `the answer is reasonable because`."""
    is_remark = kind != "yes/no" and REMARK.match(tail, mark.end())
    is_verdict = kind not in ("yes/no", "text") and VERDICT.match(tail, mark.end())
    return not is_remark and not is_verdict and not _is_asked(tail, mark)


def _is_asked(tail: str, mark: re.Match[str]) -> bool:
    """Whether a marker marks no answer: `whether the answer is 4`, `the answer would be 4 if`."""
    if ASKED.search(tail[max(0, mark.start() - 40) : mark.start()]):
        return True
    if not UNREAL.search(mark[0]):
        return False
    before = SENTENCE_END.split(tail[max(0, mark.start() - 200) : mark.start()])[-1]
    after = SENTENCE_END.split(tail[mark.end() : mark.end() + 200])[0]
    return CONDITION.search(before) is not None or CONDITION.search(after) is not None


def _json_answer(tail: str) -> str | None:
    objects = JSON_ANSWER.findall(tail) or JSON_FIELD_ALONE.findall(tail)
    if not objects:
        return None
    try:
        row: dict[str, object] = json.loads(objects[-1])
        for name, value in row.items():
            if re.fullmatch(r"(short|final)?[ _]?answer", name, re.IGNORECASE):
                return value if isinstance(value, str) else json.dumps(value)
    except (ValueError, AttributeError, RecursionError):
        pass  # LaTeX in JSON is seldom escaped as JSON wants it
    fields = JSON_FIELD.findall(objects[-1])
    return str(fields[-1][0] or fields[-1][1]) if fields else None
