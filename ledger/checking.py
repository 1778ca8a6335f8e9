"""Whether the log and its heads agree: what an auditor asks of the ledger's own tables.

Positions are gapless in each lane, versions in each stream, and the head of a stream is the fold
of its events.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec
from psycopg import Connection

from domain.catalogue import REFERENCE
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


@contextmanager
def streams(conn: Conn, sample: Sample) -> Iterator[Iterator[tuple[str, Iterator[Stored]]]]:
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
        yield groupby(stored, key=lambda each: each.stream)


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
    """Streams without a head in each lane that should have one, heads without a stream, and heads
    or streams that miss events."""
    for stream, lane, last, events, version in conn.execute(
        """
        SELECT originator_id, bucket, e.last, e.events, h.version
        FROM (
            SELECT s.originator_id, l.bucket, s.last, s.events
            FROM (
                SELECT originator_id, bucket, max(originator_version) AS last, count(*) AS events
                FROM ledger.stored_events GROUP BY 1, 2
            ) s
            JOIN ledger.log_head l
            ON l.bucket = s.bucket OR split_part(s.originator_id, ':', 1) = ANY (%s)
        ) e
        FULL JOIN ledger.stream_head h USING (originator_id, bucket)
        WHERE (e.last, e.events) IS DISTINCT FROM (h.version, h.version)
        ORDER BY 1, 2
        """,
        (list(REFERENCE),),
    ):
        live = {"version": version, "events": version}
        yield Disagreement(
            "ledger.stream_head",
            {"stream": stream, "bucket": lane},
            None if version is None else live,
            None if last is None else {"version": last, "events": events},
        )


def keys(conn: Conn) -> Iterator[Disagreement]:
    """Keys of idempotency that stand for commands in several lanes: each was given once too often.

    A key is unique in its lane only, for a retry names the same streams. Of the others, those
    that are no first are told as rows that should not be.
    """
    for key, lane, position in conn.execute(
        """
        SELECT key, bucket, position FROM (
            SELECT *, min(bucket) OVER (PARTITION BY key) AS first FROM ledger.command_log
        ) c
        WHERE bucket <> first ORDER BY key, bucket
        """
    ):
        yield Disagreement(
            "ledger.command_log", {"key": key, "bucket": lane}, {"position": position}, None
        )


def states(conn: Conn, batch: Sequence[Folded]) -> Iterator[Disagreement | None]:
    """Heads whose state is not what their events come to. What has the wrong version, `versions`
    tells; a head that other rules folded, which is folded again when it is next needed, is None.
    """
    expected_of = {folded.stream: folded for folded in batch}
    for stream, lane, version, fold, state in conn.execute(
        "SELECT originator_id, bucket, version, fold, state FROM ledger.stream_head"
        " WHERE originator_id = ANY (%s) ORDER BY originator_id, bucket",
        (list(expected_of),),
    ):
        folded = expected_of[stream]
        if version != folded.version:
            continue
        if fold != heads.fold_version(heads.kind_of(folded.stream)):
            yield None
        elif (known_state := _decoded(folded.stream, state)) != folded.state:
            live, expected = _fields(known_state), _fields(folded.state)
            key = {"stream": stream, "bucket": lane}
            yield Disagreement("ledger.stream_head", key, live, expected)


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
