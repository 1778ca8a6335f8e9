"""Contributions: the rows that make a measure up, each with what it adds and its events."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

from pydantic import Field, create_model

from domain.kernel.values import PROGRAMME
from projections.engine.answer import Answer, Dated
from projections.engine.connection import Conn
from projections.engine.measure import (
    Measure,
    Measured,
    Params,
    Question,
    Rows,
    measured,
    question,
)
from projections.engine.names import require_known
from projections.engine.views import behind


class EventAt(Answer):
    """An event and where the log holds it."""

    topic: str
    place: str = Field(description="`<bucket>:<position>`", examples=["0:1234567"])

    def __str__(self) -> str:
        return f"{self.topic} {self.place}"


class Contribution(Answer):
    """A row that makes up a measure."""

    of: dict[str, Any] = Field(description="what it is and the days and values that decided")
    adds: dict[str, int] = Field(description="what it adds to each input")
    events: list[EventAt] = Field(description="what it comes from")


class Contributions(Dated):
    """A measure and a page of the rows that make it up."""

    measured: Measured
    contributions: list[Contribution]
    next: str | None = Field(description="send it as `after` for the next page; null at the end")


def contributions(
    conn: Conn, measure_id: str, params: Params, on: date, limit: int = 50, after: str | None = None
) -> Contributions:
    """A measure and a page of the rows that make it up, in the order of their keys.

    `after` is the `next` of the page before. Raises what `measured` raises.
    """
    found = measured(conn, measure_id, params, on)
    asked = question(measure_id, params, on)
    given = {**asked.given, **behind(asked.measure.rows.key, after), "limit": limit + 1}
    rows = conn.execute(_listed(asked, after), given).fetchall()
    page = [_contribution(asked.measure, row) for row in rows[:limit]]
    last = page[-1] if len(rows) > limit else None
    return Contributions(
        measured=found,
        contributions=page,
        next=None if last is None else _place(asked.measure.rows, last),
    )


@contextmanager
def all_contributions(
    conn: Conn, measure_id: str, params: Params, on: date
) -> Iterator[Iterator[tuple[Any, ...]]]:
    """All of them as bare rows: `heads` says of what. Fetched as they are asked for, and only
    within a transaction."""
    asked = question(measure_id, params, on)
    require_known(conn, asked.named)
    conn.execute("SET LOCAL cursor_tuple_fraction = 1")  # all of them are fetched
    with conn.cursor(name="contributions") as cursor:
        cursor.itersize = 5_000
        yield iter(cursor.execute(_listed(asked, None), {**asked.given, "limit": None}))


def heads(of: Measure) -> list[str]:
    """The columns of such a row. Where a column decides and is summed, it is there once as each."""
    return [*of.rows.columns, *(f"adds_{name}" for name in of.added), "events"]


def row_model(of: Measure) -> type[Answer]:
    """Such a row as an answer, for files."""
    fields: dict[str, Any] = dict.fromkeys(heads(of), (Any, ...))
    return create_model("Row", __base__=Answer, **fields)


def _listed(asked: Question, after: str | None) -> str:
    """Rows that add something, with their events as texts `topic bucket:position`."""
    rows, sums = asked.measure.rows, asked.measure.added
    columns = ", ".join(f"r.{name}" for name in (*rows.columns, *sums))
    adds = " OR ".join(f"r.{name} <> 0" for name in sums)
    key = ", ".join(f'r.{name}::text COLLATE "C"' for name in rows.key)  # as Python has it
    begin = f" AND ({key}) > ({', '.join(f'%(after_{n})s' for n in rows.key)})" if after else ""
    joins, places = [], []
    for number, events in enumerate(rows.events):
        by = ", ".join(("bucket", *events.by))
        joins.append(
            f" LEFT JOIN (SELECT {by}, string_agg(topic || ' ' || bucket || ':' || position, ', '"
            f" ORDER BY position) AS places FROM {events.source} e"
            f" WHERE ({events.where}) AND ({by}) IN (SELECT {by} FROM r) GROUP BY {by})"
            f" e{number} USING ({by})"
        )
        places.append(f"e{number}.places")
    if "topic" in rows.columns:
        places.append("r.topic || ' ' || r.bucket || ':' || r.position")
    return (
        f"WITH r AS MATERIALIZED (SELECT * FROM {asked.source} AND ({adds}){begin}"
        f" ORDER BY {key} LIMIT %(limit)s)"
        f" SELECT {columns}, concat_ws(', ', {', '.join(places)}) AS events"
        f" FROM r{''.join(joins)} ORDER BY {key}"
    )


def text_for_sql(of: Measure) -> str:
    """All of them as a query for PostgreSQL alone, of `of`, `adds` and `events` as a contribution
    has them. `$1` is the day, `$2` the first of its days or null, `$3` an object of what else is
    said."""
    zone = PROGRAMME.zone.key
    first = "coalesce($2, date_trunc('year', $1)::date)"
    said = {
        "on": "$1",
        "end": f"timezone('{zone}', ($1 + 1)::timestamp)",
        "first": first,
        "start": f"timezone('{zone}', {first}::timestamp)",
        "first_month": f"to_char({first} - 1 + interval '1 month', 'YYYY-MM')",
        "last_month": "to_char($1 + 1 - interval '1 month', 'YYYY-MM')",
        "limit": "NULL",
        **{name: f"($3->>'{name}')" for name in of.needs},
        **{name: _given(name, usual) for name, usual in of.rows.may.items()},
    }
    asked = Question(of, {}, date.min, date.min, {})
    listed = _listed(asked, None) % said
    columns = [*(f"c{n}" for n in range(len(of.rows.columns))), *(f"a_{s}" for s in of.added)]
    shown = ", ".join(f"'{name}', c{n}" for n, name in enumerate(of.rows.columns))
    adds = ", ".join(f"'{name}', a_{name}" for name in of.added)
    return (
        f"SELECT jsonb_build_object({shown}), jsonb_build_object({adds}),"
        f" string_to_array(q.events, ', ') FROM ({listed}) q({', '.join(columns)}, events)"
    )


def _given(name: str, usual: int | str | None) -> str:
    if isinstance(usual, int):
        return f"coalesce(($3->>'{name}')::bigint, {usual})"
    return f"($3->>'{name}')"


def _contribution(of: Measure, row: Sequence[Any]) -> Contribution:
    columns = of.rows.columns
    shown = dict(zip(columns, row, strict=False))
    adds = dict(zip(of.added, map(int, row[len(columns) : -1]), strict=True))
    return Contribution(of=shown, adds=adds, events=events_of(row[-1]))


def events_of(places: str) -> list[EventAt]:
    """The events that are told in the last column of a row."""
    return list(map(_event, places.split(", "))) if places else []


def _event(place: str) -> EventAt:
    topic, _, at = place.partition(" ")
    return EventAt(topic=topic, place=at)


def _place(rows: Rows, last: Contribution) -> str:
    return "~".join(str(last.of[name]) for name in rows.key)
