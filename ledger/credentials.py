"""Credentials: what proves that somebody is who he says, kept as hashes and apart from the log.

An API key reads `cl_<id>_<secret>`, an invitation `in_<id>_<secret>`. The secret is 256 random
bits, so its SHA-256 is enough: there is nothing to guess, and a slow hash, as passwords need one,
would cost each request 80 ms. A secret holds as long as the stream of who has it says so
(`ApiKey.secrets`, `User.invited`): a row here opens nothing alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from secrets import token_hex
from typing import Any

from psycopg import Connection

from domain.access import ApiKey, Grant, Principal, Role, User, scopes_of
from ledger.database import bucket_of
from ledger.log.states import states

Conn = Connection[Any]
MARK = "cl"
MARKS = {"apikey": MARK, "user": "in"}
"""How what is shown once begins, by the kind of the stream that has it."""
FIRST = "-"
"""Whom the first link invites, which `serve` prints: nobody yet. No user can be called so."""
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Known:
    """An API key as a worker knows it: who it is, and the hashes that open it."""

    principal: Principal
    hashes: tuple[bytes, ...]
    expires_at: datetime | None

    def opened_by(self, secret: str) -> bool:
        """Whether this is one of its secrets. As long whatever is sent: each hash is compared, in
        constant time."""
        sent = sha256(secret.encode()).digest()
        same = [compare_digest(sent, known) for known in self.hashes]
        return any(same)


def holder_of(api_key_id: str) -> str:
    """The stream of a key."""
    return f"apikey:{api_key_id}"


def lane_of(conn: Conn, holder: str) -> int:
    """The lane of who has it."""
    buckets = conn.execute("SELECT value::int FROM ledger.ledger_meta WHERE name = 'buckets'")
    ((count,),) = buckets.fetchall()
    return bucket_of(holder, count)


def mint(conn: Conn, holder: str, number: int) -> str | None:
    """A new secret of this number, as it is shown once; None if that number has one."""
    secret = token_hex(SECRET_BYTES)
    made = conn.execute(
        "INSERT INTO ledger.credentials (bucket, holder, number, hash) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING RETURNING number",
        (lane_of(conn, holder), holder, number, sha256(secret.encode()).digest()),
    ).fetchone()
    kind, _, holder_id = holder.partition(":")
    return None if made is None else f"{MARKS[kind]}_{holder_id}_{secret}"


def parsed(token: str, mark: str = MARK) -> tuple[str, str] | None:
    """(id, secret) of what begins so, as it is sent."""
    begins, _, rest = token.partition("_")
    holder_id, _, secret = rest.partition("_")
    return (holder_id, secret) if begins == mark and holder_id and secret else None


def claimed(conn: Conn) -> bool:
    """Whether there was ever a key or a password that opens this ledger: then nobody enters
    without. An invitation opens nothing yet."""
    found = conn.execute(
        "SELECT EXISTS (SELECT FROM ledger.credentials WHERE holder LIKE 'apikey:%')"
        " OR EXISTS (SELECT FROM ledger.passwords)"
    ).fetchone()
    return found is not None and bool(found[0])


def first_link(conn: Conn) -> str | None:
    """What makes the first administrator, once, of whoever has it; None if it was made before, or
    if nobody needs it."""
    return None if claimed(conn) else mint(conn, f"user:{FIRST}", 1)


def invited(conn: Conn, token: str, now: datetime) -> tuple[str, int] | None:
    """Whom this invites, and the number of his invitation; None if it holds no more."""
    user_id, secret = parsed(token, MARKS["user"]) or ("", "")
    holder = f"user:{user_id}"
    if user_id == FIRST:
        number = 0 if claimed(conn) else 1
    else:
        user: User = states(conn, [holder])[holder]["user"]
        number = user.invited(now)
    found = conn.execute(
        "SELECT hash FROM ledger.credentials WHERE holder = %s AND number = %s AND used_at IS NULL",
        (holder, number),
    ).fetchone()
    known = b"" if found is None else bytes(found[0])
    same = compare_digest(sha256(secret.encode()).digest(), known)
    return (user_id, number) if same else None


def redeem(conn: Conn, user_id: str, number: int, now: datetime) -> bool:
    """Whether this invitation was there to be used: once."""
    found = conn.execute(
        "UPDATE ledger.credentials SET used_at = %s"
        " WHERE holder = %s AND number = %s AND used_at IS NULL RETURNING number",
        (now, f"user:{user_id}", number),
    ).fetchone()
    return found is not None


def api_keys(conn: Conn, ids: Iterable[str], now: datetime) -> dict[str, Known]:
    """Those of these keys that open something."""
    holders = [holder_of(api_key_id) for api_key_id in ids]
    keys: dict[str, ApiKey] = {
        holder: state["apikey"]
        for holder, state in states(conn, holders).items()
        if state["apikey"].secrets(now)
    }
    roles = states(conn, [f"role:{key.role_id}" for key in keys.values()])
    hashes: dict[tuple[str, int], bytes] = {
        (holder, number): bytes(digest)
        for holder, number, digest in conn.execute(
            "SELECT holder, number, hash FROM ledger.credentials WHERE holder = ANY (%s)",
            (list(keys),),
        )
    }
    found: dict[str, Known] = {}
    for holder, key in keys.items():
        api_key_id = holder.partition(":")[2]
        role: Role = roles[f"role:{key.role_id}"]["role"]
        grant = Grant(
            key.role_id, scopes_of(role, key.role_id), frozenset(key.clubs), frozenset(key.units)
        )
        numbers = key.secrets(now)
        opening = tuple(hashes[holder, n] for n in numbers if (holder, n) in hashes)
        principal = Principal(f"{MARK}_{api_key_id}", (grant,))
        found[api_key_id] = Known(principal, opening, key.expires_at)
    return found


def used(conn: Conn, ids: Iterable[str], now: datetime) -> None:
    """Remember that these keys opened something."""
    conn.execute(
        "UPDATE ledger.credentials SET used_at = %s WHERE holder = ANY (%s)"
        " AND (used_at IS NULL OR used_at < %s)",
        (now, [holder_of(api_key_id) for api_key_id in ids], now),
    )


def last_use(conn: Conn) -> dict[str, datetime | None]:
    """When each key opened something last, by its id."""
    rows = conn.execute(
        "SELECT holder, max(used_at) FROM ledger.credentials WHERE holder LIKE 'apikey:%'"
        " GROUP BY holder"
    )
    return {holder.partition(":")[2]: at for holder, at in rows}
