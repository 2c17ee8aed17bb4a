"""Times of day, dates, months and weekdays."""

import re

from stages.verifiers.kinds.values import Moment

CLOCK = re.compile(
    r"(?:at )?(\d{1,2})\s*:\s*(\d{1,2})(?:\s*:\s*(\d{2}))?\s*(a\.?m\.?|p\.?m\.?)?",
    re.IGNORECASE,
)
HOURS = "one two three four five six seven eight nine ten eleven twelve".split()
HOUR = re.compile(
    rf"(?:at )?(\d{{1,2}}|{'|'.join(HOURS)})\s*(o'clock|a\.?m\.?|p\.?m\.?)(?: sharp)?",
    re.IGNORECASE,
)
HAN_DIGITS = "[一二两三四五六七八九十]{1,3}|\\d{1,2}"
HAN_CLOCK = re.compile(
    rf"(凌晨|清晨|早上|早晨|上午|中午|下午|傍晚|晚上)?({HAN_DIGITS})\s*(?:[时点:]\s*(?:钟|整)?)"
    rf"\s*(?:({HAN_DIGITS})\s*分?|(半)|([一三])刻)?"
)
HAN_BEFORE = re.compile(rf"差\s*(?:({HAN_DIGITS})\s*分|(一)刻)\s*(?:钟|到)?\s*({HAN_DIGITS})\s*点")
HAN_HALVES = {
    "凌晨": "am", "清晨": "am", "早上": "am", "早晨": "am", "上午": "am", "下午": "pm",
    "傍晚": "pm", "晚上": "pm",
}  # fmt: skip
MORNING = re.compile(r"\s*(?:o'clock )?in the morning$", re.IGNORECASE)
EVENING = re.compile(r"\s*(?:o'clock )?in the (?:afternoon|evening)$", re.IGNORECASE)
DOTTED = re.compile(r"^(\d{1,2})\.(\d{2})\s*(?=[ap]\.?m)", re.IGNORECASE)
MINUTES = {
    "five": 5, "ten": 10, "quarter": 15, "twenty": 20, "twenty-five": 25, "twenty five": 25,
    "half": 30,
}  # fmt: skip
PAST = re.compile(
    rf"(?:a )?({'|'.join(sorted(MINUTES, key=len, reverse=True))}|\d{{1,2}})(?: minutes?)? "
    rf"(past|to|after|before) ({'|'.join(HOURS)}|\d{{1,2}})(?: o'clock)?\s*(a\.?m\.?|p\.?m\.?)?",
    re.IGNORECASE,
)
NAMES = {
    "noon": (12, "pm"), "midday": (12, "pm"), "12 noon": (12, "pm"), "12:00 noon": (12, "pm"),
    "midnight": (0, "am"), "12 midnight": (0, "am"), "12:00 midnight": (0, "am"),
    "正午": (12, "pm"), "中午12点": (12, "pm"), "午夜": (0, "am"), "半夜12点": (0, "am"),
}  # fmt: skip
MONTHS = (
    "january february march april may june july august september october november december"
).split()
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
HAN_DAYS = "一二三四五六日"
SLASHES = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})")
ISO = re.compile(r"(\d{4})[-/年](\d{1,2})[-/月](\d{1,2})日?")
WORDED = re.compile(
    r"(?:(\d{1,2})(?:st|nd|rd|th)?\s+(?:of\s+)?)?([A-Za-z]{3,9})\.?(?:\s+(\d{1,2})(?:st|nd"
    r"|rd|th)?)?"
    r"(?:,?\s+(\d{4}))?"
)


PREPOSITION = re.compile(r"^(?:on|in|at)\s+(?=\w)", re.IGNORECASE)


def read_moment(text: str, clock: bool, ratio: bool) -> Moment | None:
    """A time or date; None where the text is none.

    Args:
        text: tidied text.
        clock: the question asks for a time, so `5:0` is one.
        ratio: the question asks for a ratio, so `5:30` is none.
    """
    if len(text) > 40:
        return None
    text = PREPOSITION.sub("", text)
    return _clock(text, clock, ratio) or _date(text)


def _clock(text: str, clock: bool, ratio: bool) -> Moment | None:
    text = MORNING.sub(" am", EVENING.sub(" pm", text))
    text = DOTTED.sub(r"\1:\2 ", text)
    if text.lower() in NAMES:
        hour, half = NAMES[text.lower()]
        return Moment("clock", (hour, 0), half)
    if match := CLOCK.fullmatch(text):
        hour, minute, second = (int(part or 0) for part in match.group(1, 2, 3))
        half = (match[4] or "").replace(".", "").lower()
        certain = clock or half or match[3]
        if (hour > 24 or minute > 59) or (not certain and (ratio or len(match[2]) != 2)):
            return None
        if match[3] and not clock and (ratio or len(match[2]) != 2):
            return None
        if not certain and not match[2].startswith("0"):
            return None  # 3:45 is as well a ratio, and equal only to itself either way
        return _at(hour, minute, second, half)
    if match := HOUR.fullmatch(text):
        half = match[2].replace(".", "").lower()
        hour = int(match[1]) if match[1].isdigit() else HOURS.index(match[1].lower()) + 1
        return _at(hour, 0, 0, half if half in ("am", "pm") else "")
    if (match := PAST.fullmatch(text)) and not ratio:
        hour = int(match[3]) if match[3].isdigit() else HOURS.index(match[3].lower()) + 1
        minute = int(match[1]) if match[1].isdigit() else MINUTES[match[1].lower()]
        half = (match[4] or "").replace(".", "").lower()
        if not clock and not half and match[1].isdigit() and match[3].isdigit():
            return None
        if not 1 <= hour <= 12 or not 0 < minute < 60:
            return None
        if match[2].lower() in ("to", "before"):
            return _at(hour - 1 or 12, 60 - minute, 0, half)
        return _at(hour, minute, 0, half)
    return _han_clock(text, clock)


def _han_clock(text: str, clock: bool) -> Moment | None:
    """`下午3点40分`, `九点半`, `差一刻十点`."""
    if match := HAN_BEFORE.fullmatch(text):
        minutes = 15 if match[2] else _han(match[1])
        hour = _han(match[3])
        return _at(hour - 1 or 12, 60 - minutes, 0, "") if 0 < minutes < 60 else None
    match = HAN_CLOCK.fullmatch(text)
    if match is None or not (clock or any(match.group(1, 3, 4, 5))):
        return None
    if ":" in text and not match[1]:
        return None
    minute = 30 if match[4] else 15 * _han(match[5]) if match[5] else _han(match[3] or "0")
    hour = _han(match[2])
    return _at(hour, minute, 0, HAN_HALVES.get(match[1] or "", "")) if hour <= 24 else None


def _han(text: str) -> int:
    """A number below a hundred, in figures or in Chinese."""
    if text.isdigit():
        return int(text)
    tens, ten, ones = text.rpartition("十")
    digits = {character: value for value, character in enumerate("零一二三四五六七八九")} | {
        "两": 2
    }
    return (digits.get(tens, 1) * 10 if ten else 0) + digits.get(ones, 0)


def _at(hour: int, minute: int, second: int, half: str) -> Moment:
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    elif hour > 12 or hour == 0:
        # Only a clock of 24 hours shows these.
        hour %= 24
        half = "24"
    return Moment("clock", (hour, minute, second) if second else (hour, minute), half)


def _date(text: str) -> Moment | None:
    if match := SLASHES.fullmatch(text):
        first, second, year = (int(part) for part in match.groups())
        return Moment("date", (year, first, second))
    if match := ISO.fullmatch(text):
        year, month, day = (int(part) for part in match.groups())
        return Moment("date", (year, month, day))
    if match := re.fullmatch(r"(?:星期|周|礼拜)([一二三四五六日天])", text):
        return Moment("day", (HAN_DAYS.index(match[1].replace("天", "日")),))
    if match := re.fullmatch(r"(?:(\d{1,2})月)(\d{1,2})[日号]", text):
        return Moment("date", (0, int(match[1]), int(match[2])))
    match = WORDED.fullmatch(text)
    if match is None:
        return None
    word = match[2].lower()
    months = [index for index, name in enumerate(MONTHS, 1) if _abbreviates(word, name)]
    if len(months) == 1:
        day = int(match[1] or match[3] or 0)
        return Moment("date", (int(match[4] or 0), months[0], day))
    days = [index for index, name in enumerate(DAYS) if _abbreviates(word, name)]
    if len(days) == 1 and not (match[1] or match[3] or match[4]):
        return Moment("day", (days[0],))
    return None


def _abbreviates(word: str, name: str) -> bool:
    return word == name or (word in (name[:3], name[:4]) and word not in ("sun", "sat", "mar"))


def same_moment(gold: Moment, answer: Moment) -> bool:
    """Whether two times or dates are the same as far as both say them."""
    if gold.kind != answer.kind:
        return False
    if gold.kind == "date":
        pairs = zip(gold.parts, answer.parts, strict=True)
        return gold.parts[1] == answer.parts[1] and all(
            one == other or 0 in (one, other) for one, other in pairs
        )
    if gold.kind == "clock":
        halves = {gold.half, answer.half}
        if "" in halves and halves & {"am", "pm"}:  # one of them does not say which half of the day
            return _twelve(gold.parts) == _twelve(answer.parts)
        return _padded(gold.parts) == _padded(answer.parts)
    return gold.parts == answer.parts


def _twelve(parts: tuple[int, ...]) -> tuple[int, ...]:
    return (parts[0] % 12, *_padded(parts)[1:])


def _padded(parts: tuple[int, ...]) -> tuple[int, ...]:
    return (*parts, 0, 0)[:3]
