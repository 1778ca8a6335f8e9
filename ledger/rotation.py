"""Another key-encryption key takes over, while everybody goes on writing and reading.

From the switch on it wraps what is new: no append is under way then, and one that was prepared
before is decided again. Then the keys of persons are wrapped anew, some at a time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from ledger.database import meta, set_meta
from ledger.keyring import KEYRING, Secrets
from ledger.locks import Lock
from ledger.log.persons import Whom, rewrapped

BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Usage:
    """A key-encryption key: whether it wraps what is new, how many persons' keys it wraps, and
    whether it is here."""

    key_id: str
    wraps: bool
    persons: int
    here: bool


def begin(connection: Connection[Any]) -> bool:
    """Whether nobody else rotates. It lasts as long as the connection."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (Lock.ROTATING,)).fetchone()
    return row == (True,)


def lacking(connection: Connection[Any]) -> str | None:
    """The key that wraps, if it is not here."""
    key_id = meta(connection).get("kek")
    return None if key_id is None or KEYRING.holds(key_id) else key_id


def usage(connection: Connection[Any]) -> list[Usage]:
    """The keys that the ledger needs, that which wraps first, and those that are here besides."""
    rows = connection.execute(
        "SELECT kek, count(*) FROM ledger.person_keys GROUP BY kek ORDER BY 1"
    )
    counts, now, here = dict(rows.fetchall()), meta(connection)["kek"], KEYRING.known()
    found = dict.fromkeys((now, *counts, *here))
    return [Usage(each, each == now, counts.get(each, 0), each in here) for each in found]


def switch(connection: Connection[Any], key_id: str) -> None:
    """Let this key wrap what is new. Raises KeyNotHere."""
    with connection.transaction():
        lanes = list(range(int(meta(connection)["buckets"])))
        connection.execute("SELECT take_lanes(%s::int2[])", (lanes,))
        set_meta(connection, **Secrets.of(meta(connection)).rewrapped(key_id))


def rewrap(connection: Connection[Any], progress: Callable[[int], None] = lambda _: None) -> int:
    """Wrap every person's key with the one that wraps now; how many were under another. Whoever is
    erased meanwhile stays so. It may be called again, and goes on where it was cut."""
    now, done = meta(connection)["kek"], 0
    for some in _under_others(connection, now):
        fresh = [rewrapped(Whom(member_id, bucket), now, *old) for member_id, bucket, *old in some]
        members, buckets, _, before = zip(*some, strict=True)
        row = connection.execute(
            "SELECT rewrap_persons(%s::text[], %s::int2[], %s::bytea[], %s, %s::bytea[])",
            (list(members), list(buckets), list(before), now, fresh),
        ).fetchone()
        assert row is not None
        done += row[0]
        progress(len(some))
    return done


def _under_others(connection: Connection[Any], now: str) -> Iterator[list[tuple[Any, ...]]]:
    last = ("", -1)
    while True:
        some = connection.execute(
            "SELECT member_id, bucket, kek, wrapped FROM ledger.person_keys"
            " WHERE (member_id, bucket) > (%s, %s) AND kek <> %s"
            " ORDER BY member_id, bucket LIMIT %s",
            (*last, now, BATCH),
        ).fetchall()
        if not some:
            return
        last = some[-1][:2]
        yield some
