"""What is kept of webhooks beside the log: the secrets that sign, encrypted, and how far each was
told. Whoever holds Lock.TELLING writes the latter, and nobody else.
"""

from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from secrets import token_bytes
from typing import Any, NamedTuple

from psycopg import Connection

from domain.webhooks import Webhook
from ledger import reading
from ledger.database import bucket_of, meta
from ledger.keyring import Secrets, decrypt, encrypt
from ledger.log.states import states, streams_of

Conn = Connection[Any]
SECRET_BYTES = 32
MARK = "whsec_"
"""What a secret begins with as it is shown: Standard Webhooks 1.0."""
LETTERS = 1_000
"""So many dead letters of a webhook are told at once."""
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Lane(NamedTuple):
    """How far a webhook is in a lane of the log: see 0008_webhooks.sql."""

    bucket: int
    webhook_id: str
    position: int
    resumption: int = 0
    tries: int = 0
    due_at: datetime = BEGINNING
    failing_since: datetime | None = None
    stopped_at: datetime | None = None
    cause: str = ""
    taken: int = 0
    failed: int = 0


class Letter(NamedTuple):
    """An event that a webhook was given up on."""

    bucket: int
    webhook_id: str
    position: int
    died_at: datetime
    tries: int
    cause: str


# ----------------------------------------------------------------------------------------- secrets
def mint(conn: Conn, webhook_id: str, number: int) -> str | None:
    """A new secret of this number, as it is shown once; None if that number has one."""
    secret, known = token_bytes(SECRET_BYTES), meta(conn)
    made = conn.execute(
        "INSERT INTO ledger.webhook_secrets (bucket, webhook_id, number, sealed)"
        " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING number",
        (
            bucket_of(f"webhook:{webhook_id}", int(known["buckets"])),
            webhook_id,
            number,
            encrypt(Secrets.of(known).webhooks, secret, _place(webhook_id, number)),
        ),
    ).fetchone()
    return None if made is None else MARK + b64encode(secret).decode()


def secrets_of(conn: Conn, webhook_id: str, numbers: Iterable[int]) -> list[bytes]:
    """Those of these numbers that there are, in their order."""
    rows = conn.execute(
        "SELECT number, sealed FROM ledger.webhook_secrets WHERE webhook_id = %s", (webhook_id,)
    )
    sealed, key = dict(rows.fetchall()), Secrets.of(meta(conn)).webhooks
    return [
        decrypt(key, bytes(sealed[number]), _place(webhook_id, number))
        for number in numbers
        if number in sealed
    ]


def _place(webhook_id: str, number: int) -> str:
    return f"webhook|{webhook_id}|{number}"


# ------------------------------------------------------------------------------- how far each is
def webhooks(conn: Conn) -> dict[str, Webhook]:
    """All webhooks as the ledger has them, those that are removed, too."""
    found = states(conn, streams_of(conn, "webhook"))
    return {stream.partition(":")[2]: state["webhook"] for stream, state in found.items()}


def lanes(conn: Conn) -> list[Lane]:
    """How far each is, lane by lane."""
    rows = conn.execute(
        f"SELECT {', '.join(Lane._fields)} FROM ledger.webhook_lanes ORDER BY webhook_id, bucket"
    )
    return [Lane(*row) for row in rows.fetchall()]


def begin(conn: Conn, webhook_id: str) -> None:
    """Let a webhook be told of what came behind its own first event; in other lanes, of what was
    recorded since then."""
    (added,) = reading.history(conn, f"webhook:{webhook_id}", 0, 1)
    before = reading.positions_at(conn, added.recorded_at - timedelta.resolution)
    with conn.transaction():  # in all of them, or it would never be told of the others
        for bucket, position in (before | {added.bucket: added.position}).items():
            save(conn, Lane(bucket, webhook_id, position))


def save(conn: Conn, lane: Lane) -> None:
    """Keep how far a webhook is."""
    names, values = Lane._fields, ", ".join(["%s"] * len(Lane._fields))
    conn.execute(
        f"INSERT INTO ledger.webhook_lanes ({', '.join(names)}) VALUES ({values})"
        " ON CONFLICT (webhook_id, bucket) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in names[2:]),
        lane,
    )


def forget(conn: Conn, webhook_id: str) -> None:
    """Nothing is kept of a webhook that is removed; its dead letters are told to nobody."""
    for table in ("webhook_secrets", "webhook_lanes", "webhook_dead_letters"):
        conn.execute(f"DELETE FROM ledger.{table} WHERE webhook_id = %s", (webhook_id,))


# ------------------------------------------------------------------------------------ dead letters
def bury(conn: Conn, letter: Letter) -> None:
    """Give an event up: it was told in vain, perhaps once more."""
    conn.execute(
        "INSERT INTO ledger.webhook_dead_letters"
        f" ({', '.join(Letter._fields)}) VALUES (%s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (webhook_id, position, bucket) DO UPDATE SET died_at = excluded.died_at,"
        " tries = excluded.tries, cause = excluded.cause, due = false",
        letter,
    )


def letters(conn: Conn, webhook_id: str, *, due: bool = False) -> list[Letter]:
    """The first of a webhook's dead letters; or of those that are to be told once more."""
    rows = conn.execute(
        f"SELECT {', '.join(Letter._fields)} FROM ledger.webhook_dead_letters"
        " WHERE webhook_id = %s AND (due OR NOT %s) ORDER BY bucket, position LIMIT %s",
        (webhook_id, due, 1 if due else LETTERS),
    )
    return [Letter(*row) for row in rows.fetchall()]


def tell_again(conn: Conn, webhook_id: str, bucket: int) -> None:
    """Let the dead letters of a lane be told once more."""
    conn.execute(
        "UPDATE ledger.webhook_dead_letters SET due = true WHERE webhook_id = %s AND bucket = %s",
        (webhook_id, bucket),
    )


def taken(conn: Conn, letter: Letter) -> None:
    """A dead letter was told after all."""
    conn.execute(
        "DELETE FROM ledger.webhook_dead_letters"
        " WHERE webhook_id = %s AND position = %s AND bucket = %s",
        (letter.webhook_id, letter.position, letter.bucket),
    )


def dead(conn: Conn) -> dict[str, int]:
    """How many dead letters each webhook has."""
    rows = conn.execute(
        "SELECT webhook_id, count(*) FROM ledger.webhook_dead_letters GROUP BY webhook_id"
    )
    return dict(rows.fetchall())
