"""Histories by the million: decided once, by the real rules, and written by SQL for everybody.

One member's life is decided; then each of its commands is written for all members at once, with
their numbers put where an event names its command's key. Snapshots are the fold of what is written,
and a sample is folded again to prove it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from psycopg import Connection, sql

from bench import population
from bench.population import Fact
from bench.words import FaultError
from domain.kernel.world import World
from ledger.commands import parse
from ledger.log import snapshots
from ledger.log.working import EVENTS

PLACEHOLDER = "@"
"""Stands for the member's number wherever an event names its command's key."""
NOBODY = "life"
DIGEST = sha256(b"bench").digest()
RESPONSE = b'{"visit":1,"payment":"points","points":1,"price_version":1,"spendable_points":1199999}'
EVENTS_A_VISIT = 2
MARGIN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Life:
    """What a member's commands wrote, as (topic, state) each, and the snapshot that all fold to."""

    commands: list[list[tuple[str, str]]]
    snapshot: bytes

    @property
    def events(self) -> int:
        """How many there are."""
        return sum(map(len, self.commands))


def lived(now: datetime, facts: list[Fact]) -> Life:
    """Decide a member's facts by the rules."""
    world = World()
    for fact in population.house(now, 0):
        world.execute(parse(population.line(fact)))
    commands, name = [], f"member:{NOBODY}"
    for number, fact in enumerate(facts):
        line = population.line({**fact, "key": f"h{PLACEHOLDER}-{number}"})
        events = [event for _, event in world.execute(parse(line)).events]
        commands.append([(e.topic, snapshots.bytes_of(e).decode()) for e in events])
    return Life(commands, snapshots.row(name, world.state(name))[1])


def visits(now: datetime, number: int) -> list[Fact]:
    """So many visits, spread evenly over the years; the last of them is not of today."""
    begun = population.opening(now) + MARGIN
    step = (now - MARGIN - begun) / number
    return [population.visit(NOBODY, begun + step * n) for n in range(number)]


def write(
    connection: Connection[Any],
    life: Life,
    prefix: str,
    members: int,
    now: datetime,
    after: int = 0,
) -> None:
    """Give so many members this life; its first `after` commands are in the log already."""
    row = connection.execute("SELECT position FROM log_end WHERE bucket = 0").fetchone()
    assert row is not None
    position: int = row[0]
    version = sum(map(len, life.commands[:after]))
    for number, command in enumerate(life.commands[after:], start=after):
        for offset, (topic, state) in enumerate(command, start=1):
            connection.execute(
                """
                INSERT INTO stored_events (bucket, originator_id, originator_version, topic, state,
                                           notification_id, recorded_at)
                SELECT 0, 'member:' || %(prefix)s || lpad(m::text, 7, '0'), %(version)s, %(topic)s,
                    convert_to(replace(%(state)s, %(placeholder)s, m::text), 'UTF8'),
                    %(position)s + (m - 1) * %(each)s + %(offset)s, %(now)s
                FROM generate_series(1, %(members)s) m
                """,
                {
                    "prefix": prefix,
                    "version": version + offset,
                    "topic": topic,
                    "state": state,
                    "placeholder": PLACEHOLDER,
                    "position": position,
                    "each": len(command),
                    "offset": offset,
                    "now": now,
                    "members": members,
                },
            )
        connection.execute(
            """
            INSERT INTO command_log (key, digest, bucket, position, response)
            SELECT %s || 'h' || m || '-' || %s, %s, 0, %s + m * %s, %s
            FROM generate_series(1, %s) m
            """,
            (prefix, number, DIGEST, position, len(command), RESPONSE, members),
        )
        position += len(command) * members
        version += len(command)
    connection.execute("UPDATE log_end SET position = %s WHERE bucket = 0", (position,))
    connection.execute(
        """
        INSERT INTO snapshots (originator_id, bucket, version, fold, state)
        SELECT 'member:' || %s || lpad(m::text, 7, '0'), 0, %s, %s, %s
        FROM generate_series(1, %s) m
        ON CONFLICT (originator_id, bucket)
        DO UPDATE SET version = excluded.version, state = excluded.state, fold = excluded.fold
        """,
        (prefix, version, snapshots.fold_version("member"), life.snapshot, members),
    )


def check(connection: Connection[Any], stream: str) -> None:
    """Refuse a snapshot that is not the fold of its events."""
    found = connection.execute(
        "SELECT version, state FROM snapshots WHERE originator_id = %s", (stream,)
    ).fetchone()
    assert found is not None
    version, state = found
    events = connection.execute(EVENTS, (stream, version)).fetchall()
    known = snapshots.fresh(stream) | snapshots.decode(stream, state)  # Nothing is beside the row.
    if len(events) != version or snapshots.refold(stream, events) != known:
        raise FaultError(f"the snapshot of {stream} is not the fold of its {len(events)} events")


@contextmanager
def without_indexes(connection: Connection[Any], *tables: str) -> Iterator[None]:
    """Drop the indexes of tables and make them again: much faster than keeping them up."""
    found = connection.execute(
        """
        SELECT i.indrelid::regclass::text, c.relname, k.conname,
            coalesce(pg_get_constraintdef(k.oid), pg_get_indexdef(i.indexrelid))
        FROM pg_index i
        JOIN pg_class c ON c.oid = i.indexrelid
        LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid
        WHERE i.indrelid = ANY (%s::regclass[])
        """,
        (list(tables),),
    ).fetchall()
    for table, index, constraint, _ in found:
        drop = (
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
                sql.Identifier(table), sql.Identifier(constraint)
            )
            if constraint
            else sql.SQL("DROP INDEX {}").format(sql.Identifier(index))
        )
        connection.execute(drop)
    yield
    connection.execute("SET maintenance_work_mem = '512MB'")
    for table, _, constraint, definition in found:
        if constraint:
            made = f"ALTER TABLE {table} ADD CONSTRAINT {constraint} {definition}"
            connection.execute(made.encode())
        else:
            connection.execute(definition.encode())
    connection.execute("RESET maintenance_work_mem")
