"""What changed from one moment to another: every measure, and the events between.

A measure is asked of each moment on that moment's own day. What made it change is told row by row:
its contributions at the one and the other, and the events that only one of them rests on.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

from projections.asof import pairs
from projections.engine import contributions
from projections.engine.answer import Answer, Moment
from projections.engine.connection import Conn
from projections.engine.contributions import EventAt
from projections.engine.event_tables import typed_tables
from projections.engine.measure import (
    MEASURES,
    MeasureChange,
    Measured,
    changes,
    measured,
    overview,
)


class Between(Answer):
    """How many events of a topic only the later, and only the earlier moment holds."""

    topic: str
    added: int
    dropped: int


class Changes(Answer):
    """What changed from one moment to another."""

    before: Moment
    after: Moment
    measures: list[MeasureChange]
    events: list[Between]


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row of a measure that adds something else at the later moment: by its key, how much more
    by input, and the events on which it rests at the later alone and at the earlier alone."""

    of: dict[str, str]
    adds: dict[str, int]
    added: list[EventAt]
    dropped: list[EventAt]


def state(conn: Conn, on: date) -> list[Measured]:
    """The measures as of the moment of this snapshot."""
    return list(overview(conn, on))


def changed(
    conn: Conn, earlier: tuple[Moment, list[Measured]], later: tuple[Moment, list[Measured]]
) -> Changes:
    """What changed between two moments with these measures, and the live events between them."""
    (before, was), (after, now) = earlier, later
    return Changes(
        before=before,
        after=after,
        measures=changes(was, now),
        events=_between(conn, before, after),
    )


Row: TypeAlias = tuple[tuple[str, ...], dict[str, int], list[EventAt]]
"""The key of a contribution, what it adds, its events."""


def rows_of(conn: Conn, measure_id: str, params: dict[str, Any], on: date) -> Iterator[Row]:
    """The contributions as of the moment of this snapshot, by their keys. Within a transaction."""
    of = MEASURES[measure_id]
    heads = contributions.heads(of)
    with contributions.all_contributions(conn, measure_id, params, on) as rows:
        for row in rows:
            said = dict(zip(heads, row, strict=True))
            key = tuple(str(said[name]) for name in of.rows.key)
            adds = {name: int(said[f"adds_{name}"]) for name in of.added}
            yield key, adds, contributions.events_of(said["events"])


def rows_changed(
    measure_id: str, before: Iterator[Row], after: Iterator[Row]
) -> Iterator[RowChange]:
    """What makes a measure change: the rows that differ. Both come sorted, and are gone through
    side by side."""
    names = MEASURES[measure_id].rows.key
    one, other = next(before, None), next(after, None)
    while one or other:
        first = min(each[0] for each in (one, other) if each)
        was, now = (each if each and each[0] == first else None for each in (one, other))
        adds = {
            name: (now[1][name] if now else 0) - (was[1][name] if was else 0)
            for name in (now or was or ((), {}))[1]
        }
        if any(adds.values()):
            old, new = (dict.fromkeys(each[2] if each else ()) for each in (was, now))
            yield RowChange(
                of=dict(zip(names, first, strict=True)),
                adds=adds,
                added=[each for each in new if each not in old],
                dropped=[each for each in old if each not in new],
            )
        one = next(before, None) if was else one
        other = next(after, None) if now else other


@contextmanager
def of_measure(
    dsn: str, measure_id: str, params: dict[str, Any], *seen: tuple[Moment, date]
) -> Iterator[tuple[list[Measured], Iterator[RowChange]]]:
    """(a measure at two moments, each asked on its own day; its rows that differ), to be read
    within. Both moments' answers were built before: nothing is built while one of them is held."""
    with ExitStack() as both:
        found, rows = [], []
        for moment, on in seen:
            conn = both.enter_context(pairs.answers(dsn, moment))
            found.append(measured(conn, measure_id, params, on))
            rows.append(rows_of(conn, measure_id, params, on))
        yield found, rows_changed(measure_id, *rows)


def _between(conn: Conn, before: Moment, after: Moment) -> list[Between]:
    parts = " UNION ALL ".join(
        f"SELECT '{topic}' AS topic,"
        f" count(*) FILTER (WHERE {after.condition_of(topic)}) AS added,"
        f" count(*) FILTER (WHERE {before.condition_of(topic)}) AS dropped"
        f" FROM {table.name}"
        f" WHERE ({before.condition_of(topic)}) <> ({after.condition_of(topic)})"
        for topic, table in typed_tables().items()
    )
    rows = conn.execute(f"{parts} ORDER BY topic").fetchall()
    return [
        Between(topic=topic, added=added, dropped=dropped)
        for topic, added, dropped in rows
        if added or dropped
    ]
