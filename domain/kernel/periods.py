"""Periods: what is told of a day or a month is told once it has come, and not when what was known
of it has been forgotten."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol, TypeVar

from domain.kernel.refusal import Refusal
from domain.kernel.timeline import LATE
from domain.kernel.values import local_date, month_number

H = TypeVar("H")


class Forgetful(Protocol):
    """A part that leaves out what ended long ago, and remembers the latest end of that."""

    forgotten: date | None


@dataclass
class NotComeYet(Refusal):
    """That day or month has not come yet."""

    code = "not_come_yet"
    period: str
    today: date


@dataclass
class TooLongAgo(Refusal):
    """It may be known already: what had ended by then is not remembered any more."""

    code = "too_long_ago"
    period: str
    forgotten: str


@dataclass
class PeriodReversed(Refusal):
    """The period would end before it begins."""

    code = "period_reversed"
    first: date
    last: date


def require_in_order(first: date, last: date) -> None:
    """Refuses a period that ends before it begins."""
    if last < first:
        raise PeriodReversed(first, last)


def require_come(period: date | str, at: datetime) -> None:
    """Refuses a day, or a month as `2008-07`, that has not begun by this instant.

    What is agreed (a window, a binding's days, an opening) may lie ahead; what is told as a fact of
    its own day or month may not.
    """
    if isinstance(period, str) and month_number(period) < at.year * 12 + at.month - 1:
        return  # no clock is a month behind another: most bills need no other look
    today = local_date(at)
    if isinstance(period, date):
        ahead = period > today
    else:
        ahead = month_number(period) > today.year * 12 + today.month - 1
    if ahead:
        raise NotComeYet(str(period), today)


def remembered(held: dict[str, H], ends: Callable[[H], date], at: datetime) -> dict[str, H]:
    """What a fact told late may still name: the others ended LATE_DAYS before this instant."""
    oldest = local_date(at) - LATE
    return {name: each for name, each in held.items() if ends(each) >= oldest}


def forget(part: Forgetful, field: str, ends: Callable[[H], date], at: datetime) -> None:
    """Leave out what no fact told late may name, and remember until when that is: of two facts of
    one name, told in whatever order, one at most is taken."""
    held: dict[str, H] = getattr(part, field)
    kept = remembered(held, ends, at)
    gone = [ends(held[name]) for name in held.keys() - kept.keys()]
    if gone:
        part.forgotten = max(*gone, part.forgotten or date.min)
    setattr(part, field, kept)


def require_remembered(part: Forgetful, ended: date) -> None:
    """Refuses what ended on a day of which this part may have forgotten the like."""
    if part.forgotten is not None and ended <= part.forgotten:
        raise TooLongAgo(str(ended), str(part.forgotten))
