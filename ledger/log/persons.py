"""Persons: what is known of who somebody is, outside the log. Here alone is it opened.

Each telling is a row beside the event of the same version of his stream, which says that something
was told and not what: so a name has both of its times, and erasing is deleting rows. A column that
a telling says nothing of is null; what it takes away is empty.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

from psycopg import Connection
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from domain.kernel.command import Command
from domain.kernel.personal import Phone, Sealed
from domain.kernel.phones import at_home
from ledger.database import bucket_of
from ledger.log.working import Entry

TAKEN_AWAY = ""
_PHONE: TypeAdapter[Sealed] = TypeAdapter(Phone)


@dataclass(frozen=True, slots=True)
class Telling:
    """What a command told of a member: sealed, or null where it took it away."""

    bucket: int
    member_id: str
    stream_version: int
    occurred_at: datetime
    said: Mapping[str, Sealed | None]

    def row(self) -> dict[str, Any]:
        """Its row. What it says nothing of is left out."""
        opened = {
            name: TAKEN_AWAY if value is None else Sealed.opened(value)
            for name, value in self.said.items()
        }
        return {
            "bucket": self.bucket,
            "member_id": self.member_id,
            "stream_version": self.stream_version,
            "occurred_at": self.occurred_at,
            **opened,
        }


@dataclass(frozen=True, slots=True)
class Person:
    """Who a member is, as a door may show it: of his number only the ends."""

    name: str | None
    phone: str | None


def telling(command: Command, entries: Iterable[Entry]) -> Telling | None:
    """What there is to keep of a command that made these events, if anything."""
    said = command.sealed()
    if not said:
        return None
    entry = next(each for each in entries if each.event.stream == "member")
    member_id = entry.stream.name.partition(":")[2]
    return Telling(entry.stream.bucket, member_id, entry.version, entry.event.occurred_at, said)


def sealed(those: Iterable[Telling | None]) -> bytes | None:
    """What was told as one value, if anything was. Whoever passes it on knows nothing of it:
    `keep_persons` (migrations/0006_persons.sql) opens it."""
    rows = [each.row() for each in those if each is not None]
    return to_json(rows) if rows else None


def digest_of(command: Command, asked: bytes, key: bytes) -> bytes:
    """What tells two commands under one idempotency key apart, from one of them as it was asked.

    Keyed with the ledger's own secret: a command may hold a phone number, and digests are kept.
    """
    if sealed := command.sealed():
        asked += to_json({name: value and Sealed.opened(value) for name, value in sealed.items()})
    return blake2b(asked, key=key, digest_size=32).digest()


def person(connection: Connection[Any], member_id: str) -> Person:
    """Who a member is."""
    found = connection.execute(
        "SELECT name, phone FROM ledger.persons WHERE member_id = %s"
        " ORDER BY occurred_at, stream_version",
        (member_id,),
    )
    return _shown(found)


def person_then(
    connection: Connection[Any],
    member_id: str,
    positions: Mapping[int, int],
    effective_at: datetime | None,
) -> Person:
    """Who he was, by what was known up to a position of each lane and held at a time."""
    stream = f"member:{member_id}"
    bucket = bucket_of(stream, len(positions))
    found = connection.execute(
        "SELECT p.name, p.phone FROM ledger.persons p JOIN ledger.stored_events e"
        " ON e.originator_id = %(stream)s AND e.originator_version = p.stream_version"
        " AND e.bucket = p.bucket AND e.notification_id <= %(upto)s"
        " WHERE p.member_id = %(member)s AND p.bucket = %(bucket)s"
        " AND (%(at)s::timestamptz IS NULL OR p.occurred_at <= %(at)s)"
        " ORDER BY p.occurred_at, p.stream_version",
        {
            "stream": stream,
            "member": member_id,
            "bucket": bucket,
            "upto": positions[bucket],
            "at": effective_at,
        },
    )
    return _shown(found)


def members_with_phone(connection: Connection[Any], phone: Sealed, limit: int) -> list[str]:
    """The ids of the members whose number this is now."""
    found = connection.execute(
        "SELECT p.member_id FROM ledger.persons p WHERE p.phone = %s AND NOT EXISTS ("
        " SELECT FROM ledger.persons l WHERE l.member_id = p.member_id AND l.bucket = p.bucket"
        " AND l.phone IS NOT NULL"
        " AND (l.occurred_at, l.stream_version) > (p.occurred_at, p.stream_version)"
        ") ORDER BY p.member_id LIMIT %s",
        (Sealed.opened(phone), limit),
    )
    return [row[0] for row in found]


def phone_of(text: str) -> Sealed | None:
    """The number that this is a spelling of, if it is one."""
    try:
        return _PHONE.validate_python(text)
    except ValidationError:
        return None


def _shown(tellings: Iterable[tuple[str | None, str | None]]) -> Person:
    """What the last of these that spoke of it left, in the order in which they hold."""
    name = phone = None
    for new_name, new_phone in tellings:
        name = name if new_name is None else new_name
        phone = phone if new_phone is None else new_phone
    return Person(name or None, masked(phone or None))


def masked(phone: str | None) -> str | None:
    """A phone number with its middle hidden: enough to recognise, too little to call."""
    if phone is None:
        return None
    shown = at_home(phone)
    return shown[:3] + "*" * (len(shown) - 7) + shown[-4:]
