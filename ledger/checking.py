"""Whether the log and its heads agree: what an auditor asks of the ledger's own tables.

Positions are gapless in each lane, versions in each stream, and the head of a stream is the fold
of its events.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec
from psycopg import Connection

from ledger import heads
from ledger.reading import COLUMNS, Stored

Conn = Connection[Any]
Row = dict[str, Any]

FETCHED = 2_000
"""Events a fetch: so many are in memory at once, however long the log."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The members that are looked at: so many, drawn by a hash of their stream and a seed.

    The same seed draws the same members on every machine. `members` None is all of them. Streams
    that are not members' are few, and always among them.
    """

    members: int | None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Folded:
    """What the events of a stream come to."""

    stream: str
    version: int
    state: Any


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A row of the ledger's tables, and what the events say it should be; None: no such row."""

    table: str
    key: Row
    live: Row | None
    expected: Row | None


def streams(conn: Conn, sample: Sample) -> Iterator[tuple[str, Iterator[Stored]]]:
    """Each stream of the sample with its events, oldest first. Only within a transaction.

    Read the events of one stream before asking for the next.
    """
    chosen = """
        SELECT originator_id FROM (
            SELECT originator_id,
                row_number() OVER (
                    PARTITION BY originator_id LIKE 'member:%%'
                    ORDER BY md5(%(seed)s::text || originator_id), originator_id
                ) AS nth
            FROM (SELECT DISTINCT originator_id FROM ledger.stored_events) known
        ) drawn
        WHERE nth <= %(members)s OR originator_id NOT LIKE 'member:%%'
    """
    wanted = "" if sample.members is None else f"WHERE originator_id IN ({chosen})"
    with conn.cursor(name="streams") as cursor:
        cursor.itersize = FETCHED
        cursor.execute(
            f"SELECT {COLUMNS} FROM ledger.stored_events {wanted}"
            " ORDER BY originator_id, originator_version".encode(),
            {"seed": sample.seed, "members": sample.members},
        )
        stored = (Stored(*row) for row in cursor)
        yield from groupby(stored, key=lambda each: each.stream)


def lanes(conn: Conn) -> Iterator[Disagreement]:
    """Lanes whose head is not the number of their events, which is that of the last of them."""
    for bucket, position, events, last in conn.execute(
        """
        SELECT h.bucket, h.position, coalesce(e.events, 0), coalesce(e.last, 0)
        FROM ledger.log_head h
        LEFT JOIN (
            SELECT bucket, count(*) AS events, max(notification_id) AS last
            FROM ledger.stored_events GROUP BY 1
        ) e USING (bucket)
        WHERE h.position <> coalesce(e.events, 0) OR h.position <> coalesce(e.last, 0)
        ORDER BY 1
        """
    ):
        live = {"position": position, "events": position}
        yield Disagreement(
            "ledger.log_head", {"bucket": bucket}, live, {"position": last, "events": events}
        )


def versions(conn: Conn) -> Iterator[Disagreement]:
    """Streams without a head, heads without a stream, and heads or streams that miss events."""
    for stream, last, events, lane, version, bucket in conn.execute(
        """
        SELECT originator_id, e.last, e.events, e.bucket, h.version, h.bucket
        FROM (
            SELECT originator_id, max(originator_version) AS last, count(*) AS events,
                min(bucket) AS bucket
            FROM ledger.stored_events GROUP BY 1
        ) e
        FULL JOIN ledger.stream_head h USING (originator_id)
        WHERE (e.last, e.events, e.bucket) IS DISTINCT FROM (h.version, h.version, h.bucket)
        ORDER BY 1
        """
    ):
        live = {"version": version, "events": version, "bucket": bucket}
        expected = {"version": last, "events": events, "bucket": lane}
        yield Disagreement(
            "ledger.stream_head",
            {"stream": stream},
            None if version is None else live,
            None if last is None else expected,
        )


def states(conn: Conn, batch: Sequence[Folded]) -> Iterator[Disagreement | None]:
    """Heads whose state is not what their events come to. What has the wrong version, `versions`
    tells; a head that other rules folded, which is folded again when it is next needed, is None.
    """
    known = {
        stream: (version, fold, state)
        for stream, version, fold, state in conn.execute(
            "SELECT originator_id, version, fold, state FROM ledger.stream_head"
            " WHERE originator_id = ANY (%s)",
            ([folded.stream for folded in batch],),
        )
    }
    for folded in batch:
        version, fold, state = known.get(folded.stream, (0, "", b""))
        if version != folded.version:
            continue
        if fold != heads.fold_version(heads.kind_of(folded.stream)):
            yield None
        elif (known_state := _decoded(folded.stream, state)) != folded.state:
            live, expected = _fields(known_state), _fields(folded.state)
            yield Disagreement("ledger.stream_head", {"stream": folded.stream}, live, expected)


def _decoded(stream: str, state: bytes) -> Any:
    """The state of a head; what is no state is None."""
    try:
        return heads.decode(stream, state)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _fields(state: Any) -> Row:
    """A state by its fields, as plain values; no state has none."""
    if state is None:
        return {}
    return {
        name: msgspec.to_builtins(value) for name, value in msgspec.structs.asdict(state).items()
    }
