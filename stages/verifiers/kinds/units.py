"""Units as dimensions: which word means which unit, and what a quantity is in another one.

A unit is recognized by a table of the names that questions use, Chinese ones among them; what the
units are worth is pint's knowledge. No text reaches pint but the names in this table.
"""

import functools
import re
from typing import Any

import mpmath

LENGTH = {
    "meter": "m meter meters metre metres 米", "kilometer": "km kilometer kilometers kilometre "
    "kilometres kms 千米 公里", "centimeter": "cm centimeter centimeters centimetre centimetres "
    "cms 厘米", "millimeter": "mm millimeter millimeters millimetre millimetres 毫米",
    "decimeter": "dm decimeter decimeters 分米", "micrometer": "µm um micrometer micrometers "
    "micron microns 微米", "nanometer": "nm nanometer nanometers nanometre 纳米", "mile":
    "mile miles mi 英里", "inch": "inch inches in", "foot": "foot feet ft", "yard":
    "yard yards yd yds", "light_year": "ly 光年", "angstrom": "angstrom Å",
}  # fmt: skip
TIME = {
    "second": "s sec secs second seconds 秒 秒钟", "minute": "min mins minute minutes 分钟",
    "hour": "h hr hrs hour hours 小时 时", "day": "day days 天 日", "week": "week weeks 周 星期",
    "month": "month months 月 个月", "year": "year years yr yrs annum 年", "millisecond":
    "ms millisecond milliseconds 毫秒", "microsecond": "µs us microsecond microseconds",
    "nanosecond": "ns nanosecond nanoseconds",
}  # fmt: skip
MASS = {
    "kilogram": "kg kilogram kilograms kgs 千克 公斤", "gram": "g gram grams 克",
    "milligram": "mg milligram milligrams 毫克", "metric_ton": "t ton tons tonne tonnes 吨",
    "pound": "lb lbs pound pounds 磅", "ounce": "oz ounce ounces", "unified_atomic_mass_unit":
    "u amu",
}  # fmt: skip
PHYSICS = {
    "newton": "N newton newtons 牛 牛顿", "joule": "J joule joules 焦 焦耳", "watt":
    "W watt watts 瓦 瓦特", "kilowatt": "kW kilowatt kilowatts 千瓦", "kilojoule": "kJ kilojoules",
    "pascal": "Pa pascal pascals 帕 帕斯卡", "kilopascal": "kPa", "volt": "V volt volts 伏 伏特",
    "ampere": "A amp amps ampere amperes 安 安培", "milliampere": "mA",
    "ohm": r"\Omega ohm ohms 欧 "
    "欧姆", "hertz": "Hz hertz 赫兹", "coulomb": "C coulomb coulombs 库仑", "tesla": "T tesla",
    "farad": "F farad farads", "microfarad": "µF", "henry": "H henry",
    "weber": "Wb weber", "kelvin":
    "K kelvin kelvins", "mole": "mol mole moles 摩尔", "electron_volt": "eV", "kiloelectron_volt":
    "keV", "megaelectron_volt": "MeV", "calorie": "cal calorie calories", "kilocalorie": "kcal",
    "bar": "bar", "atmosphere": "atm", "liter": "L l liter liters litre litres 升", "milliliter":
    "mL ml milliliter milliliters 毫升", "gallon": "gallon gallons gal", "millivolt": "mV",
    "megahertz": "MHz", "kilohertz": "kHz", "gigahertz": "GHz",
    "hectare": "ha hectare hectares 公顷",
    "acre": "acre acres", "kilonewton": "kN", "megajoule": "MJ", "megawatt": "MW", "megapascal":
    "MPa", "kilovolt": "kV", "kiloohm": r"k\Omega kohm", "horsepower": "hp horsepower",
    "kilowatt_hour": "kWh", "becquerel": "Bq", "lux": "lx lux", "lumen": "lm lumen", "molar": "M",
}  # fmt: skip
ANGLE = {
    "degree": r"^\circ ° degree degrees deg 度", "radian": "rad radian radians 弧度",
    "degree_Celsius": r"^\circC ^\circ_C degC Celsius celsius degrees_Celsius 摄氏度",
    "degree_Fahrenheit": r"^\circF Fahrenheit degrees_Fahrenheit 华氏度",
    "revolution": "revolution revolutions rev", "rpm": "rpm",
}  # fmt: skip
COMPOUND = {
    ("mile", 1, "hour", -1): "mph", ("kilometer", 1, "hour", -1): "kmph kph kmh",
    ("centimeter", 3): "cc",
}  # fmt: skip
OTHER = {
    "percent": r"% \% percent pct per_cent",
    "yuan": "yuan 元 RMB rmb CNY 人民币 元钱 块 ¥ ￥", "dollar": r"$ \$ dollar dollars USD usd "
    "US$ 美元", "euro": "€ euro euros EUR 欧元", "british_pound": "£ GBP 英镑", "jiao": "角",
    "cent": "cent cents ¢", "yen": "yen JPY 日元", "rupee": "₹ rupee rupees Rs Rs. INR",
    "dozen": "dozen dozens 打",
}  # fmt: skip
COUNT = (
    "unit units square\\ units cubic\\ units 个 个单位 单位 平方单位 只 条 人 张 种 次 块 本 颗 件"
)
OWN = frozenset(OTHER) - {"percent", "dozen"}
"""Kinds of money: of no other unit, and not worth a fixed amount of another."""
SCALES = frozenset({"kelvin", "degree_Celsius", "degree_Fahrenheit"})
CHANGE = {("cent", "dollar"): 0.01, ("jiao", "yuan"): 0.1, ("cent", "euro"): 0.01}
WORDS: dict[str, tuple[tuple[str, int], ...]] = {
    word.replace("_", " "): ((name, 1),)
    for table in (LENGTH, TIME, MASS, PHYSICS, ANGLE, OTHER)
    for name, words in table.items()
    for word in words.split()
}
for _parts, _words in COMPOUND.items():
    for _word in _words.split():
        WORDS[_word] = tuple(zip(_parts[::2], _parts[1::2], strict=True))  # type: ignore[arg-type]
PREFIXES = {"m": "milli", "k": "kilo", "M": "mega", "µ": "micro", "n": "nano", "G": "giga"}
PREFIXED = {
    "N": "newton", "J": "joule", "W": "watt", "V": "volt", "A": "ampere", "Hz": "hertz",
    "F": "farad", "H": "henry", "C": "coulomb", "Pa": "pascal", "T": "tesla", "mol": "mole",
    "g": "gram", "s": "second", "L": "liter", "eV": "electron_volt", r"\Omega": "ohm",
}  # fmt: skip
for _sign, _prefix in PREFIXES.items():
    for _word, _name in PREFIXED.items():
        WORDS.setdefault(_sign + _word, ((_prefix + _name, 1),))
COUNTS = frozenset(word.replace("\\ ", " ") for word in re.split(r"(?<!\\) ", COUNT))
PIECE = re.compile(
    r"\s*(?P<per>/|per\b|a(?=\s+(?:second|minute|hour|day|week|month|year)\b)|每)?\s*"
    r"(?P<many>square|cubic|sq\.?|cu\.?|平方|立方)?\s*"
    r"(?P<word>\^\\circ\s*[CF]?|\\?[%$]|[mkM]?\s?\\Omega|[A-Za-zµÅ€£¥￥°¢]+|[\u4e00-\u9fff]{1,3})"
    r"\.?\s*(?P<power>squared|cubed|(?:\^|\*\*)\s*\{?\s*[+-]?\d\s*\}?|\d)?\s*(?:\\cdot"
    r"|\\times|\*|·)?"
)
POWERS = {"squared": 2, "cubed": 3}
MANY = {"square": 2, "sq": 2, "平方": 2, "cubic": 3, "cu": 3, "立方": 3}
BY_YEAR = re.compile(r"\bp\.\s?a\b\.?")
LONGEST = 48


@functools.lru_cache(maxsize=10_000)
def unit_of(text: str) -> str | None:
    """The unit that a text names, as a product such as `kilometer*hour**-1`.

    Empty for words that only count (`units`, `个`); None where the text is no unit.
    """
    text = BY_YEAR.sub("per annum", text.strip().strip("()[]{} ").strip())
    if not text or len(text) > LONGEST:
        return None
    if text in COUNTS or re.fullmatch(r"(?:square |sq\.? |cubic )?units?(?:\s*\^\{?\d\}?)?", text):
        return ""
    if " " in text and (whole := WORDS.get(text)):
        return "*".join(name for name, _ in whole)
    parts: list[tuple[str, int]] = []
    position, sign = 0, 1
    while position < len(text):
        match = PIECE.match(text, position)
        if match is None or match.end() == position:
            return None
        found = _known(re.sub(r"\s", "", match["word"]))
        if found is None:
            return None
        if match["per"]:
            sign = -1
        power = MANY.get((match["many"] or "").rstrip("."), 1)
        if match["power"]:
            digits = re.sub(r"[^\d-]", "", match["power"])
            power *= int(digits) if digits else POWERS[match["power"]]
        parts += [(name, one * power * sign) for name, one in found]
        position = match.end()
    return "*".join(name if power == 1 else f"{name}**{power}" for name, power in parts)


def _known(word: str) -> tuple[tuple[str, int], ...] | None:
    return WORDS.get(word) or (WORDS.get(word.lower()) if len(word) > 2 else None)


@functools.cache
def _registry() -> Any:
    import pint

    registry = pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
    for money in sorted(OWN):
        registry.define(f"{money} = [{money}]")
    return registry


@functools.lru_cache(maxsize=10_000)
def factor(unit: str, to: str) -> float | None:
    """How many of one unit another is; None where they measure different things.

    Temperatures on scales with other zeros are not a factor apart: only equal scales have one.
    """
    if unit == to:
        return 1.0
    if not unit or not to or "degree_" in unit or "degree_" in to:
        return None
    if (unit, to) in CHANGE or (to, unit) in CHANGE:
        return CHANGE.get((unit, to)) or 1 / CHANGE[to, unit]
    import pint

    try:
        registry = _registry()
        # The pair's dimensions must agree; pint takes angles and percent for pure numbers.
        if _is_pure(unit) != _is_pure(to):
            return None
        return float(registry.Quantity(1.0, unit).to(to).magnitude)
    except (pint.errors.PintError, ArithmeticError, ValueError, TypeError):
        return None


def temperature(value: Any, unit: str, to: str) -> float | None:
    """A temperature on another scale, whose zero may be elsewhere; None where it is none.

    Args:
        value: a number of mpmath's.
        unit: in which it is.
        to: the other scale.
    """
    if unit == to or not {unit, to} <= SCALES or mpmath.im(value):
        return None
    return float(_registry().Quantity(float(value), unit).to(to).magnitude)


def _is_pure(unit: str) -> bool:
    return bool(re.match(r"(?:degree|arcminute|arcsecond|radian|percent|revolution)(?!_)", unit))


@functools.lru_cache(maxsize=10_000)
def asked_unit(question: str) -> str | None:
    """The unit that a question wants its answer in, where it says so."""
    question = question.replace("²", "^2").replace("³", "^3")
    for pattern in ASKED:
        for match in pattern.finditer(question[-2000:]):
            if match[1].strip() in ("$", "\\$"):
                return unit_of("dollars")
            words = re.sub(r"\\(?:text|mathrm|mathbf)\s*\{~?([^{}]*)\}|\$", r"\1", match[1]).split()
            for length in (3, 2, 1):
                found = unit_of(" ".join(words[:length]).rstrip("?.,:;)"))
                if found and not (found == "inch" and length == 1 and words[0] == "in"):
                    return found
    return None


ASKED = (
    re.compile(r"\(\s*[Uu]nits?\s*:\s*([^)]{1,30})\)"),
    re.compile(r"[（(]\s*单位\s*[:：为]?\s*([^)）]{1,12})[)）]"),
    re.compile(r"\b(?:in|In)\s+((?:square |cubic |\$?\\?)?[A-Za-z/^{}\\$ ~\d]{1,40})"),
    re.compile(r"\b[Hh]ow many\s+((?:square |cubic )?[A-Za-z/]{1,24}(?: [A-Za-z/]{1,12}){0,2})"),
    re.compile(r"[Nn]umber of\s+((?:square |cubic )?[A-Za-z/]{1,24})"),
    re.compile(r"多少\s*([\u4e00-\u9fffA-Za-z/]{1,4})"),
)


RATES = {
    "year": re.compile(r"\b(?:annual|yearly|per year|per annum|a year)|年", re.IGNORECASE),
    "month": re.compile(r"\b(?:monthly|per month|a month)\b|月", re.IGNORECASE),
    "day": re.compile(r"\b(?:daily|per day|a day)\b|日|天", re.IGNORECASE),
}


INTEREST = re.compile(
    r"\b(?:rate of (?:simple |compound )?interest|interest rate|rate percent)\b|利率", re.IGNORECASE
)
"""A rate that is a year's unless another time is named."""


def plain_percent(unit: str | None, question: str) -> str | None:
    """A unit; percent for `percent per year` where the question says that it is a year's."""
    asked = [name for name, pattern in RATES.items() if pattern.search(question)]
    if not asked and INTEREST.search(question):
        asked = ["year"]
    return "percent" if unit in [f"percent*{name}**-1" for name in asked] else unit or None
