"""The day of the last fact that figures rest on: whoever opens a history of other years on today
sees a year in which nothing happened, and is told when something did."""

from datetime import date
from functools import cache

from domain.catalogue import CATALOGUE
from domain.kernel.values import local_date
from projections.engine.connection import Conn
from projections.engine.event_tables import ASKED_BY_STREAM, typed_tables
from projections.engine.measure import MEASURES

OF_CUSTOMERS = {"member", "admissions"}
"""The streams of what customers do; a club may be opened and a report entered on any day."""
NEWEST = 500
"""Of each kind so many, the last that were written, are looked at first."""


@cache
def topics() -> tuple[str, ...]:
    """What figures rest on of what customers do."""
    rows = dict.fromkeys(each.rows for each in MEASURES.values())
    found = {event.topic for each in rows for event in each.events if event.topic}
    return tuple(
        sorted(each for each in found | ASKED_BY_STREAM if CATALOGUE[each].stream in OF_CUSTOMERS)
    )


def last_fact_on(conn: Conn, on: date) -> date | None:
    """The day of the last fact, in the programme's zone; null: there is none. `on` is the day of
    the answer, behind which there is nothing.

    Of a ledger that is written to day by day it is among those written last. Else all are looked
    at, since an import may bring them in any order."""
    newest = "(SELECT occurred_at FROM {} ORDER BY position DESC LIMIT %(newest)s)"
    found = _last(conn, newest)
    if found is not None and found < on:
        found = _last(conn, "{}")
    return found


def idle_since(last: date | None, today: date) -> date | None:
    """The day of the last fact if it lies before today: then figures of today are those of days on
    which nothing happened."""
    return last if last is not None and last < today else None


def _last(conn: Conn, rows: str) -> date | None:
    each = (
        f"SELECT max(occurred_at) AS at FROM {rows.format(typed_tables()[topic].name)} e"
        for topic in topics()
    )
    text = f"SELECT max(at) FROM ({' UNION ALL '.join(each)}) a"
    found = conn.execute(text.encode(), {"newest": NEWEST}).fetchone()
    return None if found is None or found[0] is None else local_date(found[0])
