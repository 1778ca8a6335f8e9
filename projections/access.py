"""Access: the roles there are, and who holds them. Asked of the ledger itself, as who knocks is let
in by it: an answer that stands still keeps no revoked key in force."""

from datetime import datetime

from pydantic import Field

from domain.access import BUILT_IN, ApiKey, Reach, RoleId, Scope, User, scopes_of
from ledger import credentials
from ledger.log.states import states, streams_of
from projections.engine.answer import Answer
from projections.engine.connection import Conn


class RoleRow(Answer):
    """A role: what it gives, and how far."""

    role_id: str
    scopes: dict[Scope, Reach]
    built_in: bool = Field(description="as every ledger has it from the start")


class ApiKeyRow(Answer):
    """An API key, without its secret, which nobody can show any more."""

    api_key_id: str
    role_id: str
    clubs: list[str]
    units: list[str]
    secret: int = Field(description="the number of its newest secret")
    overlap_until: datetime | None = Field(description="until when the secret before it holds")
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None = Field(description="when it opened something last, to a minute")


class HeldRow(Answer):
    """A role as a user holds it."""

    role_id: str
    clubs: list[str]
    units: list[str]


class UserRow(Answer):
    """A user and his roles."""

    user_id: str
    added_at: datetime
    disabled_at: datetime | None
    roles: list[HeldRow]


def roles(conn: Conn) -> list[RoleRow]:
    """All roles: those of every ledger, and those that were defined."""
    defined = states(conn, streams_of(conn, "role"))
    known = {stream.partition(":")[2]: state["role"] for stream, state in defined.items()}
    found = []
    for role_id in sorted(BUILT_IN.keys() | known.keys()):
        role = known.get(role_id)
        scopes = BUILT_IN[role_id] if role is None else scopes_of(role, role_id)
        found.append(RoleRow(role_id=role_id, scopes=dict(scopes), built_in=role is None))  # type: ignore[arg-type]
    return found


def role(conn: Conn, role_id: RoleId) -> RoleRow | None:
    """A role with its scopes, as it is now."""
    return next((each for each in roles(conn) if each.role_id == role_id), None)


def api_keys(conn: Conn) -> list[ApiKeyRow]:
    """All API keys, also those that open nothing any more."""
    used = credentials.last_use(conn)
    found = []
    for stream, state in states(conn, streams_of(conn, "apikey")).items():
        key: ApiKey = state["apikey"]
        api_key_id = stream.partition(":")[2]
        row = ApiKeyRow(
            api_key_id=api_key_id,
            role_id=key.role_id,
            clubs=key.clubs,
            units=key.units,
            secret=key.secret,
            overlap_until=key.overlap_until,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            used_at=used.get(api_key_id),
        )
        found.append(row)
    return found


def users(conn: Conn) -> list[UserRow]:
    """All users, also those that are disabled."""
    found = []
    for stream, state in states(conn, streams_of(conn, "user")).items():
        user: User = state["user"]
        assert user.added_at is not None
        held = [
            HeldRow(role_id=role_id, clubs=each.clubs, units=each.units)
            for role_id, each in sorted(user.roles.items())
        ]
        row = UserRow(
            user_id=stream.partition(":")[2],
            added_at=user.added_at,
            disabled_at=user.disabled_at,
            roles=held,
        )
        found.append(row)
    return found
