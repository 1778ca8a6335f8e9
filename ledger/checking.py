"""Whether the log and its snapshots agree: what an auditor asks of the ledger's own tables.

Positions are gapless in each lane, versions in each stream, and the snapshot of a stream is the
fold of its events.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec
from psycopg import Connection

from domain.catalogue import REFERENCE
from domain.kernel.parts import State
from ledger.log import snapshots
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
    state: State


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A row of the ledger's tables, and what the events say it should be; None: no such row."""

    table: str
    key: Row
    live: Row | None
    expected: Row | None


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A row of a table that other rules folded."""

    table: str


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
    """Lanes whose end is not the number of their events, which is that of the last of them."""
    for bucket, position, events, last in conn.execute(
        """
        SELECT h.bucket, h.position, coalesce(e.events, 0), coalesce(e.last, 0)
        FROM ledger.log_end h
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
            "ledger.log_end", {"bucket": bucket}, live, {"position": last, "events": events}
        )


def versions(conn: Conn) -> Iterator[Disagreement]:
    """Streams without a snapshot in each lane that should have one, snapshots without a stream,
    and snapshots or streams that miss events."""
    for stream, lane, last, events, version in conn.execute(
        """
        SELECT originator_id, bucket, e.last, e.events, h.version
        FROM (
            SELECT s.originator_id, l.bucket, s.last, s.events
            FROM (
                SELECT originator_id, bucket, max(originator_version) AS last, count(*) AS events
                FROM ledger.stored_events GROUP BY 1, 2
            ) s
            JOIN ledger.log_end l
            ON l.bucket = s.bucket OR split_part(s.originator_id, ':', 1) = ANY (%s)
        ) e
        FULL JOIN ledger.snapshots h USING (originator_id, bucket)
        WHERE (e.last, e.events) IS DISTINCT FROM (h.version, h.version)
        ORDER BY 1, 2
        """,
        (list(REFERENCE),),
    ):
        live = {"version": version, "events": version}
        yield Disagreement(
            "ledger.snapshots",
            {"stream": stream, "bucket": lane},
            None if version is None else live,
            None if last is None else {"version": last, "events": events},
        )


def strays(conn: Conn) -> Iterator[Disagreement]:
    """Parts that lie beside no snapshot."""
    for stream, lane, part in conn.execute(
        """
        SELECT originator_id, bucket, part FROM ledger.snapshot_parts p WHERE NOT EXISTS (
            SELECT FROM ledger.snapshots h
            WHERE h.originator_id = p.originator_id AND h.bucket = p.bucket
        ) ORDER BY 1, 2, 3
        """
    ):
        key = {"stream": stream, "bucket": lane, "part": part}
        yield Disagreement("ledger.snapshot_parts", key, {}, None)


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


def states(conn: Conn, batch: Sequence[Folded]) -> Iterator[Disagreement | Unchecked]:
    """Snapshots and parts beside them whose state is not what their events come to. What has the
    wrong version, `versions` tells; what other rules folded is folded again when next needed."""
    expected = {folded.stream: folded for folded in batch}
    whole: list[
        tuple[str, int]
    ] = []  # snapshots that say of each part beside them whether it has a row
    for stream, lane, version, fold, state in conn.execute(
        "SELECT originator_id, bucket, version, fold, state FROM ledger.snapshots"
        " WHERE originator_id = ANY (%s) ORDER BY originator_id, bucket",
        (list(expected),),
    ):
        if version != expected[stream].version:
            continue
        kind, unknown = snapshots.kind_of(stream), snapshots.unknown(stream, fold)
        if not set(snapshots.beside_the_row(kind)) & set(unknown):
            whole.append((stream, lane))
        row = snapshots.in_the_row(kind)
        if row[0] in unknown:
            yield Unchecked("ledger.snapshots")
            continue
        folded = {part: expected[stream].state[part] for part in row}
        if (live := _decoded(snapshots.decode, stream, state)) != folded:
            key = {"stream": stream, "bucket": lane}
            yield Disagreement("ledger.snapshots", key, _fields(live or {}), _fields(folded))
    yield from _parts(conn, expected, whole)


def _parts(
    conn: Conn, expected: dict[str, Folded], whole: list[tuple[str, int]]
) -> Iterator[Disagreement | Unchecked]:
    """The same of the parts beside these snapshots."""
    stored = {
        (stream, lane, part): (fold, state)
        for stream, lane, part, fold, state in conn.execute(
            "SELECT originator_id, bucket, part, fold, state FROM ledger.snapshot_parts"
            " WHERE originator_id = ANY (%s)",
            ([stream for stream, _ in whole],),
        )
    }
    for stream, lane in whole:
        for part in snapshots.beside_the_row(snapshots.kind_of(stream)):
            folded = expected[stream].state[part]
            fold, state = stored.pop((stream, lane, part), ("", b""))
            live = _decoded(snapshots.decode_part, part, state)
            if fold and fold != snapshots.part_version(part):
                yield Unchecked("ledger.snapshot_parts")
            elif folded != (live if fold else type(folded)()):
                key = {"stream": stream, "bucket": lane, "part": part}
                found = _fields({part: live} if live is not None else {}) if fold else None
                yield Disagreement("ledger.snapshot_parts", key, found, _fields({part: folded}))
    for stream, lane, part in stored:
        key = {"stream": stream, "bucket": lane, "part": part}
        yield Disagreement("ledger.snapshot_parts", key, {}, None)


def _decoded(decode: Callable[[str, bytes], Any], what: str, state: bytes) -> Any:
    """A state as it is stored; what is no state is None."""
    try:
        return decode(what, state)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _fields(state: State) -> Row:
    """A state by the fields of its parts, as plain values; what lies in it as JSON is opened."""
    return {
        f"{name}.{field}": msgspec.json.decode(msgspec.json.encode(value))
        for name, part in state.items()
        for field, value in msgspec.structs.asdict(part).items()
    }
