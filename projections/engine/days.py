"""Days and months of the programme, for queries that are asked at a date."""

from datetime import date, datetime, timedelta

from domain.kernel.values import add_months, start_of


def end_of(day: date) -> datetime:
    """The instant at which this day is over: what happened on it lies before."""
    return start_of(day + timedelta(days=1))


def month_of(day: date) -> date:
    """The first day of the month."""
    return day.replace(day=1)


def first_whole_month(first: date) -> date:
    """The first month with none of its days before this one."""
    return first if first.day == 1 else add_months(month_of(first), 1)


def last_whole_month(last: date) -> date:
    """The last month that is over by the end of this day."""
    return add_months(month_of(last + timedelta(days=1)), -1)


def whole_months(first: date, last: date) -> tuple[date, date] | None:
    """The first and the last month that lie within first..last with all their days."""
    begins, ends = first_whole_month(first), last_whole_month(last)
    return None if ends < begins else (begins, ends)


def months_between(first: date, last: date) -> int:
    """Calendar months that hold a day of first..last; none if they are reversed."""
    if last < first:
        return 0
    return (last.year - first.year) * 12 + last.month - first.month + 1
