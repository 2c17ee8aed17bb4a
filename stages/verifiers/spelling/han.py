"""What Chinese texts write in words that others write in signs: `零下5度`, `2根号3`, `2派`."""

import re
from collections.abc import Callable

ONES = "一二三四五六七八九"
DIGITS = rf"[{ONES}两十]{{1,3}}"
AROUND = "[\u4e00-\u9fff]"


def _figures(words: str) -> str:
    """A number below a hundred in figures, `十二` as 12."""
    tens, ten, ones = words.replace("两", "二").rpartition("十")
    value = ((ONES.find(tens) + 1 if tens else 1) * 10 if ten else 0) + ONES.find(ones or "-") + 1
    return str(value) if len(tens) <= 1 and len(ones) <= 1 else words


SIGNS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(rf"{DIGITS}(?=倍)"), lambda match: _figures(match[0])),
    (
        re.compile(rf"(?:(?<!{AROUND})|(?<=[是为]))({DIGITS})比({DIGITS})(?!{AROUND})"),
        lambda match: f"{_figures(match[1])}:{_figures(match[2])}",
    ),
    (
        re.compile(rf"(?<!几)([{ONES}])([{ONES}])?折(?![线叠])"),
        lambda match: "".join(_figures(one) + "." for one in match.groups() if one)[:-1] + "折",
    ),
    (re.compile(r"(\d)个半小时"), r"\1.5小时"),
    (re.compile(r"(?<![\d个一两二三四五六七八九])半个?小时"), "0.5小时"),
    (re.compile(r"零下\s*(\d+(?:\.\d+)?)\s*度"), r"-\1℃"),
    (re.compile(r"零下(?:的)?\s*(?=\$?\d)"), "-"),
    (re.compile(r"零上(?:的)?\s*(?=\$?\d)"), ""),
    (re.compile(r"(?<=\d)\s*倍?根号下?\s*(?=[\d({a-zA-Z])|根号下?\s*(?=[\d({a-zA-Z])"), "√"),
    (re.compile(r"(?<=[\d)])\s*派(?![\u4e00-\u9fff])"), "π"),
)
ANY = re.compile("零[上下]|根号|派|半个?小时|[一二两三四五六七八九十][比倍折]")
CIRCLES = "①②③④⑤⑥⑦⑧⑨⑩"
CIRCLED = re.compile(rf"[{CIRCLES}](?:\s*[、,，;；和与及]?\s*[{CIRCLES}])*")
NUMBERED = re.compile(r"(?:\((\d)\)[\s,;]*){2,10}")
WRONG = re.compile(r"错误|错的|不正确|不对|不成立|不一定|incorrect|false|wrong|\bnot\b")
LABEL = re.compile(
    r"(?=[^\d=]{0,40}[\u4e00-\u9fff])[\u4e00-\u9fffA-Z∠△⊙°' ]{1,40}?"
    r"(?:[是为有]|等于|答案[:：])\s*[:：]?\s*"
    r"(?=[\\\d(\[{|<>-]|[a-zA-Z](?:\([a-z]\))?\s*[=<>\\])"
)
OPEN = re.compile(r"[不非没或错误,;，；、]|可能|至[少多]|[大小]于|超过")


TIMES = re.compile(r"^[\u4e00-\u9fffA-Za-z]{1,6}的(?=\d+(?:\.\d+)?\s*倍$)")


def with_signs(text: str) -> str:
    """A text with signs for the words of numbers."""
    if ANY.search(text):
        for words, sign in SIGNS:
            text = words.sub(sign, text)
    return text


def circled(text: str) -> list[int]:
    """The numbers of an answer that consists of circled ones, `①、③`, or `(1)(3)`; else none."""
    if CIRCLED.fullmatch(text):
        return [CIRCLES.index(one) + 1 for one in text if one in CIRCLES]
    if len(text) <= 60 and NUMBERED.fullmatch(text):
        return [int(one) for one in re.findall(r"\d", text)]
    return []


def circled_in(sentence: str, question: str) -> str | None:
    """The circled numbers that a sentence ends up with; None: it has none, or calls them wrong."""
    found = CIRCLED.findall(sentence)
    if not found or (WRONG.search(sentence) and not WRONG.search(question)):
        return None
    return str(found[-1])


def without_label(text: str) -> str:
    """A value without what it is called in front: `直线的解析式为 y=2x`."""
    text = TIMES.sub("", text)
    label = LABEL.match(text)
    if label is None or OPEN.search(label[0]) or re.search("[,;、或]", text[label.end() :]):
        return text
    return text[label.end() :]
