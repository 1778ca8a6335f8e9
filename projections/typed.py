"""Typed event tables: each event of the catalogue as a table of its own, made from its class.

A table holds what the log says of the event (lane, position, stream, times) and the event's own
fields in columns of their types. It is filled in windows by set-based SQL, once; folds read it
an order of magnitude faster than JSON and never parse anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime

from domain.catalogue import CATALOGUE
from domain.event import Event
from projections.connection import Conn

SCHEMA = "typed"
_SCALARS: dict[Any, str] = {
    str: "text",
    bool: "boolean",
    int: "bigint",
    datetime: "timestamptz",
    AwareDatetime: "timestamptz",
    date: "date",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a typed table."""

    name: str
    type: str
    nullable: bool

    @property
    def definition(self) -> str:
        return f'"{self.name}" {self.type}' + ("" if self.nullable else " NOT NULL")


@dataclass(frozen=True, slots=True)
class Window:
    """The positions (after, upto] of one lane."""

    bucket: int
    after: int
    upto: int

    def condition(self, position: str = "position", alias: str = "") -> str:
        """The window in SQL, with literal bounds: plans and shard pruning depend on them."""
        return (
            f"{alias}bucket = {self.bucket:d}"
            f" AND {alias}{position} > {self.after:d} AND {alias}{position} <= {self.upto:d}"
        )

    @property
    def size(self) -> int:
        return self.upto - self.after

    def pieces(self, size: int) -> Iterator["Window"]:
        """The same positions in windows of at most this size, in order."""
        for after in range(self.after, self.upto, size):
            yield Window(self.bucket, after, min(after + size, self.upto))


class PoisonedEvent(Exception):
    """An event that cannot be taken. The projector stops here: nothing is ever skipped."""

    def __init__(self, bucket: int, position: int, topic: str, why: str) -> None:
        super().__init__(
            f"the event at position {position} of bucket {bucket} ({topic}) cannot be taken: {why}"
        )
        self.bucket, self.position, self.topic, self.why = bucket, position, topic, why


def _column_type(annotation: Any) -> tuple[str, bool]:
    """(SQL type, whether null is allowed) of a field. Lists, maps and records stay JSON."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _column_type(get_args(annotation)[0])
    if origin in (Union, UnionType):
        options = get_args(annotation)
        (inner,) = (option for option in options if option is not NoneType)
        return _column_type(inner)[0], NoneType in options
    if origin is Literal:
        return _SCALARS[type(get_args(annotation)[0])], False
    if origin in (tuple, list, dict):
        return "json", False
    return _SCALARS[annotation], False


@dataclass(frozen=True, slots=True)
class TypedTable:
    """The table of one event."""

    topic: str
    name: str
    stream: str  # the kind of its streams
    own: tuple[Column, ...]  # the event's fields, occurred_at, actor and key among them

    @property
    def id_column(self) -> str:
        return f"{self.stream}_id"

    @property
    def columns(self) -> tuple[Column, ...]:
        return (
            Column("bucket", "smallint", False),
            Column("position", "bigint", False),
            Column(self.id_column, "text", False),
            Column("stream_version", "bigint", False),
            Column("recorded_at", "timestamptz", False),
            *self.own,
        )

    @property
    def shape(self) -> str:
        """What a fold can see of it: part of the version of every projection that reads it."""
        return f"{self.topic}({', '.join(column.definition for column in self.columns)})"

    def create(self, schema: str) -> str:
        columns = ", ".join(column.definition for column in self.columns)
        return f"CREATE TABLE {schema}.{self.name} ({columns})"

    def view(self, schema: str, condition: str) -> str:
        """The live events that fulfil a condition; it follows its table when that is renamed."""
        return (
            f"CREATE VIEW {schema}.{self.name} AS"
            f" SELECT * FROM {SCHEMA}.{self.name} WHERE {condition}"
        )

    def indexes(self, schema: str) -> list[str]:
        """Made after a bulk fill: sorting once is cheaper than a million insertions."""
        texts = [f"ALTER TABLE {schema}.{self.name} ADD PRIMARY KEY (position, bucket)"]
        if self.topic in ASKED_BY_STREAM:
            texts.append(f"CREATE INDEX ON {schema}.{self.name} ({self.id_column})")
        return texts

    def fill(self, schema: str, window: Window) -> str:
        """Takes this event's part of a window out of the log.

        A stream of another kind gives a null id and is refused, as a field left out is.
        """
        names = ", ".join(f'"{column.name}"' for column in self.columns)
        fields = ", ".join(f'r."{column.name}"' for column in self.own)
        record = ", ".join(f'"{column.name}" {column.type}' for column in self.own)
        kind = f"{self.stream}:"
        return (
            f"INSERT INTO {schema}.{self.name} ({names})"
            f" SELECT e.bucket, e.notification_id,"
            f" CASE WHEN starts_with(e.originator_id, '{kind}')"
            f" THEN substr(e.originator_id, {len(kind) + 1}) END,"
            f" e.originator_version, e.recorded_at, {fields}"
            f" FROM ledger.stored_events e,"
            f" json_to_record(convert_from(e.state, 'UTF8')::json) AS r ({record})"
            f" WHERE {window.condition('notification_id', 'e.')} AND e.topic = '{self.topic}'"
        )

    def source(self, schema: str, window: Window) -> str:
        """The event's rows of a window, as a subselect for a fold."""
        return f"(SELECT * FROM {schema}.{self.name} WHERE {window.condition()})"


ASKED_BY_STREAM = frozenset(
    topic for topic in CATALOGUE if topic.startswith("points.") or topic == "activity.attended"
)
"""The events that a query looks up for one member: statements and cards."""


def typed_table(event: type[Event]) -> TypedTable:
    """The typed table of an event's class."""
    own = []
    for name, field in event.model_fields.items():
        kind, nullable = _column_type(field.annotation)
        own.append(Column(name, kind, nullable))
    return TypedTable(event.topic, event.topic.replace(".", "_"), event.stream, tuple(own))


@cache
def typed_tables() -> dict[str, TypedTable]:
    """Every typed table by its topic."""
    return {topic: typed_table(event) for topic, event in CATALOGUE.items()}


def create(conn: Conn, schema: str, over: str | None = None) -> None:
    """Make the schema and its empty tables, without their indexes.

    `over`: not tables but views, onto the live events that fulfil this condition.
    """
    conn.execute(f"CREATE SCHEMA {schema}")
    for table in typed_tables().values():
        conn.execute(table.create(schema) if over is None else table.view(schema, over))


def topics(conn: Conn, window: Window) -> list[str]:
    """The topics that occur in a window of the log, all of them known."""
    found = conn.execute(
        "SELECT topic, min(notification_id) FROM ledger.stored_events"
        f" WHERE {window.condition('notification_id')} GROUP BY topic ORDER BY 2"
    ).fetchall()
    for topic, position in found:
        if topic not in typed_tables():
            raise PoisonedEvent(window.bucket, position, topic, "no event has this name")
    return [topic for topic, _ in found]


def fill(conn: Conn, schema: str, window: Window) -> list[str]:
    """Take a window of the log into the typed tables; returns the topics that occurred."""
    found = topics(conn, window)
    for topic in found:
        conn.execute(typed_tables()[topic].fill(schema, window))
    return found
