"""Sessions: people who signed in with a password. Both are kept as hashes, apart from the log, and
open nothing unless the user's own stream says that he may enter.

What a browser holds reads `<id>_<secret>`. Time is the database's: how long a session lasts hangs
neither on the clock of a demo nor on that of a worker.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_hex
from typing import NamedTuple

from domain.access import Grant, Principal, User, scopes_of
from ledger.credentials import SECRET_BYTES, Conn, Known, lane_of
from ledger.log.states import states

IDLE = timedelta(minutes=30)
"""After so long without a request a session ends."""
ABSOLUTE = timedelta(hours=12)
"""After so long it ends, whatever is asked."""
MOST = 20
"""Of a user: another one ends his oldest."""
_HOLDS = "begun_at > now() - %(absolute)s AND seen_at > now() - %(idle)s"
_LIMITS = {"absolute": ABSOLUTE, "idle": IDLE}


class Session(NamedTuple):
    """A session as its user may see it."""

    session_id: str
    begun_at: datetime
    seen_at: datetime


def holder_of(user_id: str) -> str:
    """The stream of a user."""
    return f"user:{user_id}"


def set_password(conn: Conn, user_id: str, encoded: str, but: str = "") -> list[str]:
    """Let this be his password; whoever is signed in with the one before is so no more, `but` in
    this session: those that have ended."""
    holder = holder_of(user_id)
    ended = conn.execute(
        "WITH kept AS (INSERT INTO ledger.passwords (bucket, holder, hash)"
        " VALUES (%(lane)s, %(holder)s, %(hash)s)"
        " ON CONFLICT (holder, bucket) DO UPDATE SET hash = excluded.hash, made_at = now())"
        " DELETE FROM ledger.sessions WHERE holder = %(holder)s AND session_id <> %(but)s"
        " RETURNING session_id",
        {"holder": holder, "lane": lane_of(conn, holder), "hash": encoded, "but": but},
    )
    return [session_id for (session_id,) in ended]


def password_of(conn: Conn, user_id: str) -> str | None:
    """The password of a user, as it is kept, if he has one and may enter."""
    holder = holder_of(user_id)
    user: User = states(conn, [holder])[holder]["user"]
    row = conn.execute("SELECT hash FROM ledger.passwords WHERE holder = %s", (holder,)).fetchone()
    return None if row is None or not user.enters else str(row[0])


def has_password(conn: Conn, user_id: str) -> bool:
    """Whether a user has chosen a password, whether he may enter or not."""
    holder = holder_of(user_id)
    row = conn.execute("SELECT 1 FROM ledger.passwords WHERE holder = %s", (holder,)).fetchone()
    return row is not None


def begin(conn: Conn, user_id: str) -> str:
    """A new session of a user: what his browser is to hold. Those that have ended go."""
    session_id, secret, holder = token_hex(8), token_hex(SECRET_BYTES), holder_of(user_id)
    conn.execute(
        f"WITH ended AS (DELETE FROM ledger.sessions WHERE NOT ({_HOLDS}) OR session_id IN ("
        " SELECT session_id FROM ledger.sessions WHERE holder = %(holder)s"
        " ORDER BY begun_at DESC OFFSET %(kept)s))"
        " INSERT INTO ledger.sessions (bucket, session_id, holder, hash)"
        " VALUES (%(lane)s, %(id)s, %(holder)s, %(hash)s)",
        {
            **_LIMITS,
            "holder": holder,
            "kept": MOST - 1,
            "lane": lane_of(conn, holder),
            "id": session_id,
            "hash": sha256(secret.encode()).digest(),
        },
    )
    return f"{session_id}_{secret}"


def first_use(conn: Conn, attempt: bytes) -> bool:
    """Whether this attempt to sign in elsewhere (its SHA-256) has not begun a session yet. It is
    remembered for longer than it may take; those from before are forgotten."""
    made = conn.execute(
        "WITH gone AS (DELETE FROM ledger.sign_ins WHERE used_at < now() - %(kept)s)"
        " INSERT INTO ledger.sign_ins (bucket, attempt) VALUES (%(lane)s, %(attempt)s)"
        " ON CONFLICT DO NOTHING",
        {"lane": lane_of(conn, attempt.hex()), "attempt": attempt, "kept": ABSOLUTE},
    )
    return made.rowcount > 0


def parsed(cookie: str) -> tuple[str, str] | None:
    """(id, secret) of a session as it is sent."""
    session_id, _, secret = cookie.partition("_")
    return (session_id, secret) if session_id and secret else None


def known(conn: Conn, ids: Iterable[str]) -> dict[str, Known]:
    """Those of these sessions that hold, with the roles that their users have now."""
    rows = conn.execute(
        "SELECT session_id, holder, hash FROM ledger.sessions"
        f" WHERE session_id = ANY (%(ids)s) AND {_HOLDS}",
        {**_LIMITS, "ids": list(ids)},
    ).fetchall()
    who = principals(conn, {_user_of(holder) for _, holder, _ in rows})
    return {
        session_id: Known(who[_user_of(holder)], (bytes(digest),), None)
        for session_id, holder, digest in rows
        if _user_of(holder) in who
    }


def principals(conn: Conn, user_ids: Iterable[str]) -> dict[str, Principal]:
    """Those of these users who may enter, with the roles that they have now."""
    users: dict[str, User] = {
        _user_of(holder): state["user"]
        for holder, state in states(conn, [*map(holder_of, user_ids)]).items()
        if state["user"].enters
    }
    held = {role_id for user in users.values() for role_id in user.roles}
    roles = states(conn, [f"role:{role_id}" for role_id in held])
    return {
        user_id: Principal(
            user_id,
            tuple(
                Grant(
                    role_id,
                    scopes_of(roles[f"role:{role_id}"]["role"], role_id),
                    frozenset(each.clubs),
                    frozenset(each.units),
                )
                for role_id, each in user.roles.items()
            ),
        )
        for user_id, user in users.items()
    }


def _user_of(holder: str) -> str:
    return holder.partition(":")[2]


def seen(conn: Conn, ids: Iterable[str]) -> None:
    """Remember that something was asked in these sessions, to a minute."""
    conn.execute(
        "UPDATE ledger.sessions SET seen_at = now()"
        f" WHERE session_id = ANY (%(ids)s) AND {_HOLDS} AND seen_at < now() - interval '1 minute'",
        {**_LIMITS, "ids": list(ids)},
    )


def of_user(conn: Conn, user_id: str) -> list[Session]:
    """The sessions of a user that hold, the newest first."""
    rows = conn.execute(
        "SELECT session_id, begun_at, seen_at FROM ledger.sessions"
        f" WHERE holder = %(holder)s AND {_HOLDS} ORDER BY begun_at DESC",
        {**_LIMITS, "holder": holder_of(user_id)},
    )
    return [Session(*row) for row in rows]


def end(conn: Conn, user_id: str, session_id: str) -> bool:
    """End a session of this user: whether he had it."""
    ended = conn.execute(
        "DELETE FROM ledger.sessions WHERE holder = %s AND session_id = %s",
        (holder_of(user_id), session_id),
    )
    return ended.rowcount > 0
