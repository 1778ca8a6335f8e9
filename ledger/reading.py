"""Reading the log as it is."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from psycopg import Connection

from domain.kernel.refusal import Refusal
from ledger.database import bucket_of

COLUMNS = "bucket, notification_id, originator_id, originator_version, topic, state, recorded_at"


@dataclass
class UnknownPosition(Refusal):
    """The log holds no such position: it ends before it, or has no such bucket (an end of null)."""

    code = "unknown_position"
    bucket: int
    log_end: int | None


class Stored(NamedTuple):
    """An event as it lies in the log; `state` is the JSON that was written, byte for byte."""

    bucket: int
    position: int
    stream: str
    version: int
    topic: str
    state: bytes
    recorded_at: datetime


def log_end(connection: Connection[Any], bucket: int) -> int | None:
    """The last position of a bucket, 0 before the first event; None if there is no such bucket."""
    found = connection.execute(
        "SELECT position FROM log_end WHERE bucket = %s", (bucket,)
    ).fetchone()
    return None if found is None else found[0]


def total(connection: Connection[Any]) -> int:
    """How many events the log holds."""
    found = connection.execute("SELECT coalesce(sum(position), 0)::bigint FROM log_end").fetchone()
    return 0 if found is None else int(found[0])


def first_recorded_at(connection: Connection[Any]) -> datetime | None:
    """When the log learnt of its first event; None before that."""
    found = connection.execute(
        "SELECT min(recorded_at) FROM ledger.stored_events WHERE notification_id = 1"
    ).fetchone()
    return None if found is None else found[0]


def positions_at(connection: Connection[Any], instant: datetime) -> dict[int, int]:
    """Of each bucket the last position that was recorded by this instant, 0 if there is none.

    Recorded times never go back in a lane, so each is found by halving: some twenty looks at the
    index of positions in a million events, and no index on the time.
    """
    ends = connection.execute("SELECT bucket, position FROM ledger.log_end ORDER BY bucket")
    found = {}
    for bucket, end in ends.fetchall():
        (found[bucket],) = connection.execute(
            """
            WITH RECURSIVE search AS (
                SELECT 0::bigint AS low, %(end)s::bigint AS high
                UNION ALL
                SELECT CASE WHEN recorded_at <= %(instant)s THEN middle ELSE low END,
                    CASE WHEN recorded_at <= %(instant)s THEN high ELSE middle - 1 END
                FROM (
                    SELECT low, high, middle, (
                        SELECT recorded_at FROM ledger.stored_events
                        WHERE notification_id = middle AND bucket = %(bucket)s
                    ) AS recorded_at
                    FROM (SELECT *, (low + high + 1) / 2 AS middle FROM search) halves
                    WHERE low < high
                ) looked_at
            )
            SELECT low FROM search WHERE low = high
            """,
            {"end": end, "bucket": bucket, "instant": instant},
        ).fetchone() or (0,)
    return found


def lanes(
    connection: Connection[Any], named: Mapping[int, int]
) -> list[tuple[int, int, datetime | None]]:
    """(bucket, last position, when that was recorded) of each bucket; where another position is
    named (bucket -> position), when that one was. None before the first event."""
    those = ", ".join(["(%s::smallint, %s::bigint)"] * len(named))
    return connection.execute(
        f"""
        SELECT h.bucket, h.position, (
            SELECT recorded_at FROM ledger.stored_events e
            WHERE e.notification_id = coalesce(n.position, h.position) AND e.bucket = h.bucket
        )
        FROM ledger.log_end h
        LEFT JOIN (VALUES {those or "(NULL::smallint, NULL::bigint)"}) n(bucket, position)
        ON n.bucket = h.bucket
        ORDER BY h.bucket
        """.encode(),
        [each for lane in named.items() for each in lane],
        binary=True,
    ).fetchall()


def log(connection: Connection[Any], bucket: int, after: int, limit: int) -> list[Stored]:
    """Up to `limit` events of a bucket behind a position, in the order of their commits."""
    return _read(
        connection,
        "bucket = %s AND notification_id > %s ORDER BY notification_id LIMIT %s",
        (bucket, after, limit),
    )


def at(connection: Connection[Any], places: Collection[tuple[int, int]]) -> list[Stored]:
    """The events at these places, each a bucket and a position."""
    buckets, positions = [each[0] for each in places], [each[1] for each in places]
    return _read(
        connection,
        "(bucket, notification_id) IN (SELECT * FROM unnest(%s::smallint[], %s::bigint[]))",
        (buckets, positions),
    )


def history(connection: Connection[Any], stream: str, after: int, limit: int) -> list[Stored]:
    """Up to `limit` events of a stream behind a version, oldest first."""
    return _read(
        connection,
        "originator_id = %s AND originator_version > %s ORDER BY originator_version LIMIT %s",
        (stream, after, limit),
    )


def last_version(connection: Connection[Any], stream: str) -> int:
    """The version of a stream's last event; 0 if there is none."""
    found = connection.execute(
        "SELECT coalesce(max(originator_version), 0) FROM stored_events WHERE originator_id = %s",
        (stream,),
    ).fetchone()
    return 0 if found is None else int(found[0])


def version_at(connection: Connection[Any], stream: str, positions: Mapping[int, int]) -> int:
    """A version up to which a stream's events lie within the position of its bucket, and none of
    those behind it do. Both rise together, so it is found by halving.
    """
    found = connection.execute(
        """
        WITH RECURSIVE search AS (
            SELECT 0 AS low, coalesce(max(originator_version), 0) AS high
            FROM ledger.stored_events WHERE originator_id = %(stream)s
            UNION ALL
            SELECT CASE WHEN known THEN middle ELSE low END,
                CASE WHEN known THEN high ELSE middle - 1 END
            FROM (
                SELECT low, high, middle, coalesce((
                    SELECT notification_id <= %(position)s FROM ledger.stored_events
                    WHERE originator_id = %(stream)s AND originator_version <= middle
                    ORDER BY originator_version DESC LIMIT 1
                ), true) AS known
                FROM (SELECT *, (low + high + 1) / 2 AS middle FROM search) halves
                WHERE low < high
            ) looked_at
        )
        SELECT low FROM search WHERE low = high
        """,
        {"stream": stream, "position": positions[bucket_of(stream, len(positions))]},
    ).fetchone()
    return 0 if found is None else int(found[0])


def newest(
    connection: Connection[Any], stream: str, topics: Collection[str], before: int, limit: int
) -> list[int]:
    """Positions of a stream's newest events of these names before a version."""
    rows = connection.execute(
        "SELECT notification_id FROM ledger.stored_events"
        " WHERE originator_id = %s AND topic = ANY (%s) AND originator_version < %s"
        " ORDER BY originator_version DESC LIMIT %s",
        (stream, list(topics), before, limit),
    )
    return [position for (position,) in rows]


def lives(
    connection: Connection[Any],
    stream: str,
    positions: Mapping[int, int],
    beside: tuple[str, ...] = (),
    more: tuple[str, ...] = (),
    **said: Any,
) -> list[list[tuple[str, str, bytes]]]:
    """(stream, topic, state) of a stream's events, then of those that fulfil each condition, asked
    at once: each stream up to the position of its bucket, oldest first. `more` selects three such
    columns of something else; `said` is what these texts ask of the stream besides."""
    held = ",".join(str(positions[bucket]) for bucket in range(len(positions)))
    asked = {"stream": stream, "positions": f"{{{held}}}", **said}
    rows = connection.execute(_lives(beside, more), asked, binary=True).fetchall()
    found: list[list[tuple[str, str, bytes]]] = [[] for _ in (stream, *beside, *more)]
    for number, *row in rows:  # each part of a union comes in its own order
        found[number].append(tuple(row))
    return found


@cache
def _lives(beside: tuple[str, ...], more: tuple[str, ...]) -> bytes:
    of_events = (
        "originator_id, topic, state FROM ledger.stored_events"
        f" WHERE {condition} AND notification_id <= (%(positions)s::bigint[])[bucket + 1]"
        " ORDER BY originator_id, originator_version"
        for condition in ("originator_id = %(stream)s", *beside)
    )
    selected = enumerate((*of_events, *more))
    return " UNION ALL ".join(f"(SELECT {n}::int2, {each})" for n, each in selected).encode()


def _read(
    connection: Connection[Any], condition: str, parameters: tuple[object, ...]
) -> list[Stored]:
    query = f"SELECT {COLUMNS} FROM stored_events WHERE {condition}"
    found = connection.execute(query.encode(), parameters, binary=True).fetchall()
    return list(map(Stored._make, found))
