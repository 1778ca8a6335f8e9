"""Periods: what is recorded of a day or a month is recorded once it has come."""

from dataclasses import dataclass
from datetime import date, datetime

from domain.refusal import Refusal
from domain.values import local_date


@dataclass
class NotComeYet(Refusal):
    """That day or month has not come yet."""

    code = "not_come_yet"
    period: str
    today: date


def has_come(period: date | str, at: datetime) -> None:
    """Refuses a day, or a month as `2008-07`, that has not begun by this instant.

    What is agreed (a window, a binding's days, an opening) may lie ahead; what is told as a fact of
    its own day or month may not.
    """
    today = local_date(at)
    said = str(period)
    if said > str(today)[: len(said)]:
        raise NotComeYet(said, today)
