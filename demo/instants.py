"""Instants of the history: whole seconds since 2000 by the branch's clock, written in ISO 8601.

China has had one offset and no summer time since 1992, so that seconds can be counted and written
without a time zone database, and text in this form sorts as time does.
"""

from datetime import date, datetime, timedelta, timezone
from random import Random

ZONE, ZONE_NAME = timezone(timedelta(hours=8)), "Asia/Shanghai"
CLOCK_STARTS_AT = datetime(2009, 1, 5, 9, tzinfo=ZONE)
"""When the demo's clock begins to go: the first working Monday after the history's end."""

DAY = 86_400
_FIRST = date(2000, 1, 1)
_DAYS = [str(_FIRST + timedelta(days=number)) for number in range(12 * 366)]
_MINUTES = [f"T{minute // 60:02d}:{minute % 60:02d}:" for minute in range(1440)]
_SECONDS = [f"{second:02d}+08:00" for second in range(60)]


def on(year: int, month: int = 1, day: int = 1, hour: int = 0, minute: int = 0) -> int:
    """The instant of this local date and time."""
    return (date(year, month, day) - _FIRST).days * DAY + hour * 3600 + minute * 60


def read(text: str) -> int:
    """The instant of a local date or date and time in ISO 8601, such as the assumptions have."""
    local = datetime.fromisoformat(text)
    return on(local.year, local.month, local.day, local.hour, local.minute) + local.second


def iso(at: int) -> str:
    """This instant as an import file has it."""
    second = at % DAY
    return _DAYS[at // DAY] + _MINUTES[second // 60] + _SECONDS[second % 60]


def date_of(at: int) -> date:
    """The local day that holds this instant."""
    return _FIRST + timedelta(days=at // DAY)


def month_of(at: int) -> int:
    """The month of the year, from 0, that holds this instant."""
    return int(_DAYS[at // DAY][5:7]) - 1


def office_hours(draw: Random, first_day: int, last_day: int, skew: float = 1.0) -> int:
    """An instant between 9:00 and 17:30 on a day from first to last; a skew below 1 is later."""
    days = (last_day - first_day) // DAY + 1
    day = first_day // DAY + int(days * draw.random() ** skew)
    return day * DAY + 9 * 3600 + int(draw.random() * 30_600)
