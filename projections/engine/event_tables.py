"""Typed event tables: each event of the catalogue as a table of its own, made from its class.

A table holds what the log says of the event (lane, position, stream, times) and the event's own
fields in columns of their types. It is filled in windows by set-based SQL, once; folds read it
an order of magnitude faster than JSON and never parse anything.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, cached_property
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime

from domain.catalogue import ADDRESSED, CATALOGUE
from domain.kernel.correction import CORRECTED
from domain.kernel.event import ONLY, Event
from ledger import digests
from ledger.log.snapshots import bytes_of, event_of
from projections.engine.connection import Conn, together

SCHEMA = "typed"
RARE = 4
"""An event that makes up less than this part of a window is looked up by its positions."""
UPCAST_EVENTS = 10_000
"""Positions that are looked through at a time for events of an older shape."""
_SCALARS: dict[Any, str] = {
    str: "text",
    bool: "boolean",
    int: "bigint",
    datetime: "timestamptz",
    AwareDatetime: "timestamptz",
    date: "date",
}
_ALIGNED = {
    **dict.fromkeys(("bigint", "timestamptz"), 0),
    **dict.fromkeys(("integer", "date"), 1),
    "smallint": 2,
    **dict.fromkeys(("boolean", "text", "json"), 3),
}
"""The order in which columns lie in a row, which leaves no gaps."""


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

    def __str__(self) -> str:
        return f"{self.bucket}:{self.after}-{self.upto}"

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


@dataclass(frozen=True)
class TypedTable:
    """The table of one event."""

    topic: str
    name: str
    stream: str  # the kind of its streams
    own: tuple[Column, ...]  # the event's fields but for its key, occurred_at and actor among them
    named_by: tuple[str, ...] | None = None  # the fields by which a correction names it
    version: int = 1
    upcast: str = ""  # the version of its shape, and the code that brings older ones up to it

    @property
    def id_column(self) -> str:
        return ADDRESSED[self.stream]

    @property
    def columns(self) -> tuple[Column, ...]:
        return (
            Column("bucket", "smallint", False),
            Column("position", "bigint", False),
            Column(self.id_column, "text", False),
            Column("stream_version", "integer", False),
            Column("recorded_at", "timestamptz", False),
            *self.own,
        )

    @cached_property
    def shape(self) -> str:
        """What a fold can see of it: part of the version of every projection that reads it."""
        columns = ", ".join(column.definition for column in self.columns)
        named = "" if self.named_by is None else f" named by {self.named_by}"
        return f"{self.topic}({columns}){self.upcast}{named}"

    @cached_property
    def digest(self) -> str:
        """Of the shape: where it is another one, the table is filled anew."""
        return digests.of_text(self.shape)

    @property
    def key(self) -> str:
        """Its name beside those of the projections."""
        return f"{SCHEMA}.{self.name}"

    def create(self, schema: str) -> str:
        laid = sorted(self.columns, key=lambda column: _ALIGNED[column.type])
        columns = ", ".join(column.definition for column in laid)
        return f"CREATE TABLE {schema}.{self.name} ({columns})"

    def view(self, schema: str, condition: str) -> str:
        """The live events that fulfil a condition; it follows its table when that is renamed."""
        return (
            f"CREATE VIEW {schema}.{self.name} AS"
            f" SELECT * FROM {SCHEMA}.{self.name} WHERE {condition}"
        )

    def indexes(self, schema: str) -> list[str]:
        """Made after a bulk fill: sorting once is cheaper than a million insertions."""
        full = "WITH (fillfactor = 100)"  # filled from the end and never changed
        texts = [f"ALTER TABLE {schema}.{self.name} ADD PRIMARY KEY (position, bucket) {full}"]
        if self.topic in ASKED_BY_STREAM:
            texts.append(f"CREATE INDEX ON {schema}.{self.name} ({self.id_column})")
        return texts

    def take(self, schema: str, condition: str, state: str = "e.state", join: str = "") -> str:
        """Takes this event out of the log, where a condition holds; `state` has its JSON.

        A stream of another kind gives a null id and is refused, as a field left out is. One
        record a row, made before its fields are taken, costs a fifth less than a lateral join.
        """
        kind = f"{self.stream}:"
        of_the_log = (
            "e.bucket, e.notification_id,"
            f" CASE WHEN starts_with(e.originator_id, '{kind}')"
            f" THEN substr(e.originator_id, {len(kind) + 1}) END,"
            " e.originator_version, e.recorded_at"
        )
        names = ", ".join(f'"{column.name}"' for column in self.columns)
        fields = ", ".join(f'(e.r)."{column.name}"' for column in self.own)
        return (
            f"INSERT INTO {schema}.{self.name} ({names}) SELECT {of_the_log}, {fields}"
            f" FROM (SELECT e.*, json_populate_record(NULL::{schema}.{self.name},"
            f" convert_from({state}, 'UTF8')::json) AS r"
            f" FROM ledger.stored_events e{join} WHERE {condition} OFFSET 0) e"
        )

    @property
    def of_this_shape(self) -> str:
        """Which of its rows in the log need no upcast; SQL that is never null."""
        if self.version == 1:
            return "true"
        prefix = b'{"v":%d,' % self.version
        return f"substr(e.state, 1, {len(prefix)}) = '\\x{prefix.hex()}'::bytea"

    def source(self, window: Window, corrections: bool = True) -> str:
        """The event's rows of a window, as a subselect for a fold.

        Of an event that can be corrected, each with a `sign`: 1 where it is told, -1 where a
        correction of this window names one that was told before it and counted. What is told and
        corrected within the window is not there at all. `corrections`: whether the window has any.
        """
        told = f"SELECT e.*, 1 AS sign FROM {self.name} e WHERE {window.condition(alias='e.')}"
        if self.named_by is None:
            return f"(SELECT * FROM {self.name} WHERE {window.condition()})"
        if not corrections:
            return f"({told})"
        here = self.corrected("e", window.condition(alias=f"{WRONG}."))
        before = Window(window.bucket, 0, window.after)
        return (
            f"({told} AND NOT {here}"
            f" UNION ALL SELECT e.*, -1 FROM {self.name} e"
            f" WHERE {before.condition(alias='e.')} AND {here}"
            f" AND NOT {self.corrected('e', before.condition(alias=f'{WRONG}.'))})"
        )

    def corrected(self, fact: str, known: str = "true") -> str:
        """Whether a later correction, of those that are known, names the row `fact`: no fact of
        its name is told before the one in force is corrected."""
        return (
            f"EXISTS (SELECT FROM {self.corrections.name} {WRONG}"
            f" WHERE {WRONG}.{self.id_column} = {fact}.{self.id_column}"
            f" AND {WRONG}.bucket = {fact}.bucket"
            f" AND {WRONG}.fact = '{self.topic}' AND {WRONG}.which = {self.naming(fact)}"
            f" AND {WRONG}.position > {fact}.position AND {known})"
        )

    def naming(self, fact: str) -> str:
        """The name by which a correction names the row `fact`."""
        fields = [f'{fact}."{field}"::text' for field in self.named_by or ()]
        return " || '/' || ".join([f"coalesce({f}, '{ONLY}')" for f in fields]) or repr(ONLY)

    @property
    def corrections(self) -> "TypedTable":
        """The table of what takes it back."""
        return typed_tables()[CORRECTED[self.stream].topic]

    @property
    def counted(self) -> str:
        """The event's rows that no correction names, as a subselect for a query."""
        if self.named_by is None:
            return self.name
        return f"(SELECT e.* FROM {self.name} e WHERE NOT {self.corrected('e')})"


WRONG = "wrong_"
"""What a correction is called beside the fact that it names: like nothing in the queries around."""


ASKED_BY_STREAM = {topic for topic, event in CATALOGUE.items() if "postings" in event.model_fields}
"""The events that a query looks up for one member, as a statement does: they have an index for it.
A noun adds what it looks up."""


NOT_TAKEN = "key"
"""A command's key is long and says nothing to a fold: whoever has an event finds it in the log."""


def typed_table(event: type[Event]) -> TypedTable:
    """The typed table of an event's class."""
    own = []
    for name, field in event.model_fields.items():
        if name == NOT_TAKEN:
            continue
        kind, nullable = _column_type(field.annotation)
        own.append(Column(name, kind, nullable))
    name = event.topic.replace(".", "_")
    upcast = "" if event.version == 1 else f" version {event.version} {_upcast(event)}"
    return TypedTable(
        event.topic, name, event.stream, tuple(own), event.named_by, event.version, upcast
    )


def _upcast(event: type[Event]) -> str:
    """A digest of what brings older shapes up."""
    return digests.of_code(event.upcast, room="domain")


@cache
def typed_tables() -> dict[str, TypedTable]:
    """Every typed table by its topic."""
    return {topic: typed_table(event) for topic, event in CATALOGUE.items()}


def counted(topic: str) -> str:
    """The events of a topic that count, as a subselect for a query: no correction names them."""
    return typed_tables()[topic].counted


def create(
    conn: Conn,
    schema: str,
    over: Callable[[str], str] | None = None,
    wanted: Collection[str] = CATALOGUE.keys(),
) -> None:
    """Make the schema and its empty tables, without their indexes; only those of wanted topics.

    `over`: not tables but views, onto the live events that fulfil the condition of their topic.
    """
    conn.execute(f"CREATE SCHEMA {schema}")
    for table in (typed_tables()[topic] for topic in wanted):
        conn.execute(
            table.create(schema) if over is None else table.view(schema, over(table.topic))
        )


def topics(conn: Conn, window: Window) -> dict[str, list[int] | None]:
    """The topics that occur in a window of the log, all of them known; of rare ones, where."""
    found = conn.execute(
        f"SELECT topic, min(notification_id), CASE WHEN count(*) * {RARE} < {window.size}"
        " THEN array_agg(notification_id) END FROM ledger.stored_events"
        f" WHERE {window.condition('notification_id')} GROUP BY topic ORDER BY 2"
    ).fetchall()
    for topic, position, _ in found:
        if topic not in typed_tables():
            raise PoisonedEvent(window.bucket, position, topic, "no event has this name")
    return {topic: positions for topic, _, positions in found}


def fill(
    conn: Conn, schema: str, window: Window, wanted: Collection[str] = CATALOGUE.keys()
) -> None:
    """Take the wanted events of a window into the typed tables."""
    _, texts = takes(conn, schema, window, wanted)
    together(conn, texts)


def takes(
    conn: Conn, schema: str, window: Window, wanted: Collection[str] = CATALOGUE.keys()
) -> tuple[set[str], list[str]]:
    """(the topics that occurred in a window, the texts that take the wanted ones of them into the
    typed tables). What was stored in an older shape is taken at once.

    Each event is a pass over the window, except where it is so rare that its few rows are looked
    up.
    """
    texts = []
    found = topics(conn, window)
    for topic, positions in found.items():
        if topic in wanted:
            table = typed_tables()[topic]
            condition = f"{window.condition('notification_id', 'e.')} AND e.topic = '{topic}'"
            if positions is not None:
                rare = ",".join(map(str, positions))
                condition += f" AND e.notification_id = ANY('{{{rare}}}'::bigint[])"
            texts.append(table.take(schema, f"{condition} AND {table.of_this_shape}"))
            if table.version > 1:
                _fill_older(conn, schema, table, window)
    return set(found), texts


def _fill_older(conn: Conn, schema: str, table: TypedTable, window: Window) -> None:
    """What was stored in an older shape is brought up by the event's own Python."""
    for part in window.pieces(UPCAST_EVENTS):
        condition = f"{part.condition('notification_id', 'e.')} AND e.topic = '{table.topic}'"
        older = conn.execute(
            "SELECT e.notification_id, e.state FROM ledger.stored_events e"
            f" WHERE {condition} AND NOT {table.of_this_shape} ORDER BY 1"
        ).fetchall()
        if older:
            states = [_brought_up(table.topic, window.bucket, *row) for row in older]
            conn.execute(
                table.take(
                    schema,
                    f"{condition} AND u.position = e.notification_id",
                    "u.state",
                    ", unnest(%(positions)s::bigint[], %(states)s::bytea[]) u(position, state)",
                ),
                {"positions": [position for position, _ in older], "states": states},
            )


def _brought_up(topic: str, bucket: int, position: int, state: bytes) -> bytes:
    try:
        return bytes_of(event_of(topic, state))
    except Exception as error:
        why = f"it cannot be brought up to its present shape: {type(error).__name__}"
        raise PoisonedEvent(bucket, position, topic, why) from error
