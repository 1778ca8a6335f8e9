"""How values are written: days, months, instants, money, numbers, yes and no, words for words.

What can be read in two ways is never guessed at: a day is year, month, day unless the mapping says
otherwise, and `3/4/2025` without that is refused. Full-width digits, signs of currency, thousands
separators and negative numbers in brackets are read wherever a number stands.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from datetime import time as clock
from decimal import Decimal
from typing import Literal

from domain.kernel.values import PROGRAMME, days_in

DAYS: dict[str, str] = {
    "yyyy-mm-dd": r"(?P<y>[0-9]{4})-(?P<m>[0-9]{1,2})-(?P<d>[0-9]{1,2})",
    "dd-mm-yyyy": r"(?P<d>[0-9]{1,2})-(?P<m>[0-9]{1,2})-(?P<y>[0-9]{4})",
    "mm-dd-yyyy": r"(?P<m>[0-9]{1,2})-(?P<d>[0-9]{1,2})-(?P<y>[0-9]{4})",
    "yy-mm-dd": r"(?P<y>[0-9]{2})-(?P<m>[0-9]{1,2})-(?P<d>[0-9]{1,2})",
    "dd-mm-yy": r"(?P<d>[0-9]{1,2})-(?P<m>[0-9]{1,2})-(?P<y>[0-9]{2})",
    "mm-dd-yy": r"(?P<m>[0-9]{1,2})-(?P<d>[0-9]{1,2})-(?P<y>[0-9]{2})",
    "yyyymmdd": r"(?P<y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})",
    "ddmmyyyy": r"(?P<d>[0-9]{2})(?P<m>[0-9]{2})(?P<y>[0-9]{4})",
    "serial": r"(?P<serial>[0-9]{1,6})(?P<part>\.[0-9]+)?",
}
"""Ways to write a day; any of `- / . 年月日` may stand between. Years of two digits are 2000 to
2099. A serial number is a spreadsheet's: days since 30 December 1899."""
MONTHS: dict[str, str] = {
    "yyyy-mm": r"(?P<y>[0-9]{4})-(?P<m>[0-9]{1,2})",
    "yyyymm": r"(?P<y>[0-9]{4})(?P<m>[0-9]{2})",
    "mm-yyyy": r"(?P<m>[0-9]{1,2})-(?P<y>[0-9]{4})",
}
YES = ("true", "yes", "y", "1", "是", "√", "✓", "有")
NO = ("false", "no", "n", "0", "否", "×", "✗", "无")
_BETWEEN = re.compile(r"\s*[-/.年月]\s*")
_TIME = re.compile(
    r"(?P<half>上午|下午|[AaPp][Mm])?\s*(?P<h>[0-9]{1,2})[:时点](?P<mi>[0-9]{1,2})"
    r"(?:[:分](?P<s>[0-9]{1,2})(?:\.(?P<f>[0-9]{1,6})0*)?秒?)?分?\s*(?P<later>[AaPp][Mm])?"
)
_OFFSET = re.compile(r"(?P<local>.*[0-9])\s*(?P<offset>Z|[+-][0-9]{2}:?[0-9]{2})")
_NUMBER = re.compile(r"(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.(?P<part>[0-9]+))?")
_SIGN = re.compile(r"([+-]?)([^+-]*)(-?)")
_YUAN = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,2}))?")
"""As most are written."""
_SERIAL_0 = date(1899, 12, 30)


class Unspelt(ValueError):
    """A cell does not hold what its field wants. The sentence repeats nothing of it."""


@dataclass(frozen=True)
class Spelling:
    """How a column is written."""

    days: tuple[str, ...] = ()
    months: tuple[str, ...] = ()
    money: Literal["yuan", "fen"] = "yuan"
    decimal: Literal[".", ","] = "."
    time: clock | None = None  # for cells that hold a day alone
    day_of_month: int | Literal["last"] | None = None


def plain(cell: str) -> str:
    """Without the width of its characters and the blanks around it."""
    text = cell if cell.isascii() else unicodedata.normalize("NFKC", cell).replace("−", "-")
    return text.strip()


def _and_iso(iso: str, ways: Sequence[str]) -> list[str]:
    """What is read in any case, and what the mapping says."""
    return [iso, *(way for way in ways if way != iso)]


def _compiled(ways: dict[str, str], names: Sequence[str]) -> list[re.Pattern[str]]:
    return [re.compile(ways[name]) for name in names]


def reader_of_days(spelling: Spelling) -> Callable[[str], tuple[date, time | None]]:
    """Reads a day, and the time of day if the cell has one."""
    ways = _compiled(DAYS, _and_iso("yyyy-mm-dd", spelling.days))

    def read(cell: str) -> tuple[date, time | None]:
        text = plain(cell).replace("日", " ").strip()
        day, _, rest = text.replace("T", " ").partition(" ")
        day = _BETWEEN.sub("-", day)
        for way in ways:
            if found := way.fullmatch(day):
                return _day(found), _time_of(rest.strip(), found)
        if not spelling.days and re.fullmatch(r"[0-9]{1,2}-[0-9]{1,2}-[0-9]{2,4}", day):
            raise Unspelt("the mapping has to say whether day or month comes first, in `days`")
        raise Unspelt(f"no day as {' or '.join(_and_iso('yyyy-mm-dd', spelling.days))}")

    return read


def _day(found: re.Match[str]) -> date:
    parts = found.groupdict()
    try:
        if "serial" in parts:
            return _SERIAL_0 + timedelta(days=int(parts["serial"]))
        year = int(parts["y"]) + (2000 if len(parts["y"]) == 2 else 0)
        return date(year, int(parts["m"]), int(parts["d"]))
    except ValueError:
        raise Unspelt("a day that is in no calendar") from None


def _time_of(rest: str, found: re.Match[str] | None = None) -> time | None:
    part = found.groupdict().get("part") if found is not None else None
    if part:
        seconds = round(float(part) * 86_400)
        return time(seconds // 3600 % 24, seconds // 60 % 60, seconds % 60)
    if not rest:
        return None
    written = _TIME.fullmatch(rest)
    if written is None:
        raise Unspelt("no time of day after the day")
    half = (written["half"] or written["later"] or "").lower()
    hour, micro = int(written["h"]), int((written["f"] or "0").ljust(6, "0"))
    if half:
        hour = hour % 12 + (12 if half in ("pm", "下午") else 0)
    try:
        return time(hour, int(written["mi"]), int(written["s"] or 0), micro)
    except ValueError:
        raise Unspelt("a time that is on no clock") from None


def read_time(cell: str) -> time | None:
    """A time of day that stands in a column of its own; digits alone are hours and minutes."""
    text = plain(cell)
    if re.fullmatch(r"[0-9]{3,4}", text):
        text = f"{text[:-2]}:{text[-2:]}"
    day, blank, rest = text.partition(" ")  # a spreadsheet has a day with its times
    return _time_of(rest if blank and _BETWEEN.search(day) else text)


def _reader_of_whole_months(spelling: Spelling) -> Callable[[str], tuple[int, int]]:
    ways = _compiled(MONTHS, _and_iso("yyyy-mm", spelling.months))

    def read(cell: str) -> tuple[int, int]:
        text = _BETWEEN.sub("-", plain(cell).removesuffix("份").removesuffix("月"))
        for way in ways:
            if (found := way.fullmatch(text)) and 1 <= int(found["m"]) <= 12:
                return int(found["y"]), int(found["m"])
        raise Unspelt(f"no month as {' or '.join(_and_iso('yyyy-mm', spelling.months))}")

    return read


def reader_of_months(spelling: Spelling) -> Callable[[str], str]:
    """Reads a month, or the month of a day."""
    months = _reader_of_whole_months(spelling)
    days = reader_of_days(Spelling(days=spelling.days))

    def read(cell: str) -> str:
        try:
            year, month = months(cell)
        except Unspelt:
            try:
                day, _ = days(cell)
            except Unspelt:
                day = None
            if day is None:
                raise
            year, month = day.year, day.month
        return f"{year:04}-{month:02}"

    return read


def reader_of_days_of_months(
    spelling: Spelling, day: int | Literal["last"]
) -> Callable[[str], tuple[date, time | None]]:
    """Reads a day of the month that a cell names."""
    months = reader_of_months(spelling)

    def read(cell: str) -> tuple[date, time | None]:
        year, month = map(int, months(cell).split("-"))
        last = days_in(year, month)
        return date(year, month, last if day == "last" else min(day, last)), None

    return read


def instant(day: date, at: time) -> datetime:
    """An instant of the programme's zone."""
    return datetime.combine(day, at, tzinfo=PROGRAMME.zone)


def told_instant(day: date, at: time) -> datetime:
    """The same of a time that is written there: of an hour that the clocks go through twice the
    first, and none that they skip."""
    found = instant(day, at)
    if found.astimezone(UTC).astimezone(found.tzinfo).time() != at:
        raise Unspelt("a time that the clocks skipped on that day")
    return found


def with_offset(cell: str) -> datetime | None:
    """An instant that says its offset."""
    found = _OFFSET.fullmatch(plain(cell))
    if found is None or ":" not in found["local"]:
        return None
    try:
        return datetime.fromisoformat(f"{found['local'].replace('/', '-')}{found['offset']}")
    except ValueError:
        return None


# ---------------------------------------------------------------------------------------- numbers
def number(cell: str, decimal: str = ".") -> Decimal:
    """A number, however it is dressed."""
    text = plain(cell).replace(" ", "").replace("\u00a0", "").replace("'", "")
    negative = text.startswith("(") and text.endswith(")")
    text = text[1:-1] if negative else text
    text = text.strip("¥$元")
    signed = _SIGN.fullmatch(text)
    if signed:
        negative ^= "-" in (signed[1], signed[3])
        text = signed[2].strip("¥$元")
    if decimal == ",":
        text = text.translate({ord("."): ",", ord(","): "."})
    found = _NUMBER.fullmatch(text)
    if found is None:
        hint = "" if decimal == "," or "," not in text else ", unless `decimal` says that , is one"
        raise Unspelt(f"no number{hint}")
    value = Decimal(found["whole"].replace(",", "") + "." + (found["part"] or "0"))
    return -value if negative else value


def whole(cell: str, spelling: Spelling) -> int:
    """A whole number."""
    if cell.isascii() and cell.isdigit():  # as most are
        return int(cell)
    value = number(cell, spelling.decimal)
    if value != int(value):
        raise Unspelt("no whole number")
    return int(value)


def money(cell: str, spelling: Spelling) -> int:
    """Fen."""
    if spelling.money == "yuan" and spelling.decimal == "." and (found := _YUAN.fullmatch(cell)):
        return int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))
    value = number(cell, spelling.decimal) * (100 if spelling.money == "yuan" else 1)
    if value != int(value):
        raise Unspelt("money in parts of a fen")
    return int(value)


def basis_points(cell: str, spelling: Spelling) -> int:
    """Basis points, or a share in per cent."""
    text = plain(cell)
    if not text.endswith("%"):
        return whole(cell, spelling)
    value = number(text[:-1], spelling.decimal) * 100
    if value != int(value):
        raise Unspelt("a share in parts of a basis point")
    return int(value)


def minutes(cell: str, spelling: Spelling) -> int:
    """Minutes of the day, or a time of day."""
    if ":" not in plain(cell):
        return whole(cell, spelling)
    at = read_time(cell)
    assert at is not None
    return at.hour * 60 + at.minute


def yes_or_no(cell: str) -> bool:
    """Whether a cell says yes."""
    text = plain(cell).lower()
    if text in YES or text in NO:
        return text in YES
    raise Unspelt("neither yes nor no: `words` says what it means")


def sign(cell: str) -> int:
    """1, 0 or -1; what is no number has none, which is 0."""
    try:
        value = number(cell)
    except Unspelt:
        return 0
    return (value > 0) - (value < 0)
