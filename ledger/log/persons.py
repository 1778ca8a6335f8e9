"""Persons: what is known of who somebody is, outside the log. Here alone is it opened.

Each telling is a row a field beside the event of the same version of his stream, which says that
something was told and not what: so a name has both of its times. It is encrypted under a data key
of the member's own, which lies wrapped beside it (ledger/keyring.py): erasing him destroys that.
A field that a telling says nothing of has no row; one that it takes away is empty.
"""

import hmac
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from operator import itemgetter
from secrets import token_bytes
from typing import Any, NamedTuple

import msgspec
from psycopg import AsyncConnection, Connection
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from domain.kernel.command import Command
from domain.kernel.personal import Phone, Sealed
from domain.kernel.values import PROGRAMME
from ledger.database import bucket_of, meta
from ledger.keyring import KEY_BYTES, KEYRING, KeyNotHere, Secrets, Tampered, decrypt, encrypt
from ledger.log.working import Entry

TAKEN_AWAY = b""
LOOKED_UP = ("phone",)
"""The fields by which somebody is found."""
BLIND_BYTES = 16
NAMES_AT_ONCE = 2_000
"""Names that are read at once where all of them are."""
_PHONE: TypeAdapter[Sealed] = TypeAdapter(Phone)


class Whom(NamedTuple):
    """A member with his lane."""

    member_id: str
    bucket: int


@dataclass(frozen=True, slots=True)
class Telling:
    """What a command told of a member: sealed, null where it took it away. Or that he is erased."""

    whom: Whom
    stream_version: int
    occurred_at: datetime | None
    said: Mapping[str, Sealed | None]
    erases: bool = False

    @property
    def needs_key(self) -> bool:
        """Whether there is something to encrypt."""
        return any(value is not None for value in self.said.values())


@dataclass(frozen=True, slots=True)
class Person:
    """Who a member is, as a door may show it: of his number only the ends."""

    name: str | None
    phone: str | None


NOBODY = Person(None, None)
"""Who somebody is of whom nothing is known, or nothing any more."""


@dataclass(slots=True)
class DataKeys:
    """The data keys of some members: of those who have one, and made for those who have none."""

    secrets: Secrets
    buckets: int
    kek: str = ""  # wraps the new ones
    opened: dict[Whom, bytes] = field(default_factory=dict)
    shut: dict[Whom, KeyNotHere | Tampered] = field(default_factory=dict)  # why one does not open
    made: list[Whom] = field(default_factory=list)  # by nobody stored yet
    written: dict[Whom, bytes] = field(default_factory=dict)  # those of the last value

    def asked(
        self, some: Collection[Whom], fresh: Collection[Whom] = ()
    ) -> tuple[list[str], list[int]] | None:
        """What KEYS is to be asked for, if at all. Who is fresh can have no key yet."""
        old = {each for each in some if each not in self.opened}.difference(fresh)
        if not some or (self.kek and not old):
            return None
        return [each.member_id for each in old], [each.bucket for each in old]

    def take(self, rows: Iterable[Sequence[Any]]) -> None:
        """Take in what KEYS tells."""
        for self.kek, member_id, bucket, wrapped_by, wrapped in rows:
            if member_id is not None:
                whom = Whom(member_id, bucket)
                try:
                    self.opened[whom] = _unwrapped(whom, wrapped_by, wrapped)
                except (KeyNotHere, Tampered) as failure:
                    self.shut[whom] = failure

    def _require(self, whom: Whom) -> None:
        if whom in self.shut:
            raise self.shut[whom]
        if whom not in self.opened:
            KEYRING.key(self.kek)

    def of(self, whom: Whom) -> bytes:
        """His key."""
        self._require(whom)
        if whom not in self.opened:
            self.opened[whom] = token_bytes(KEY_BYTES)
            self.made.append(whom)
        return self.opened[whom]

    def sealed(self, tellings: Iterable[Telling]) -> bytes | None:
        """What was told as one value, if anything was. Whoever passes it on knows nothing of it:
        `keep_persons` (migrations/0006_persons.sql) opens it."""
        told = list(tellings)
        if not told:
            return None
        rows = [row for each in told for row in self._rows(each)]
        keys = [
            {
                "member_id": whom.member_id,
                "bucket": whom.bucket,
                "wrapped": _hex(KEYRING.wrap(self.kek, self.opened[whom], _key_of(whom))),
            }
            for whom in self.made
        ]
        self.written = {whom: self.opened[whom] for whom in self.made}
        self.made.clear()
        erased = [each.whom._asdict() for each in told if each.erases]
        return to_json({"kek": self.kek, "keys": keys, "rows": rows, "erased": erased})

    def follow(self, ahead: "DataKeys") -> None:
        """Know those that a batch that is ahead has made."""
        self.opened |= ahead.written

    async def read(self, connection: AsyncConnection[Any], commands: Iterable[Command]) -> None:
        """Take in those of whom these commands tell."""
        named = [each for each in commands if each.identifying]
        some = [whom for each in named if (whom := self._whom(each)) is not None]
        if (asked := self.asked(some)) is not None:
            cursor = await connection.execute(KEYS, asked, binary=True)
            self.take(await cursor.fetchall())

    def require(self, command: Command) -> None:
        """Raises KeyNotHere or Tampered where what it tells of somebody cannot be encrypted."""
        if command.identifying and (whom := self._whom(command)) is not None:
            self._require(whom)

    def _whom(self, command: Command) -> Whom | None:
        """Of whom it says what has to be encrypted, if it does."""
        if all(value is None for value in command.sealed().values()):
            return None
        return _whom(command.streams()[0], self.buckets)

    def _rows(self, each: Telling) -> Iterable[dict[str, Any]]:
        for name, value in each.said.items():
            sealed, blind = TAKEN_AWAY, None
            if value is not None:
                text = Sealed.opened(value)
                place = _place(each.whom, each.stream_version, name)
                sealed = encrypt(self.of(each.whom), text.encode(), place)
                blind = _blind(self.secrets, name, text) if name in LOOKED_UP else None
            yield {
                "member_id": each.whom.member_id,
                "bucket": each.whom.bucket,
                "field": name,
                "stream_version": each.stream_version,
                "occurred_at": each.occurred_at,
                "sealed": _hex(sealed),
                "blind": blind and _hex(blind),
            }


KEYS = """
    SELECT m.value, k.member_id, k.bucket, k.kek, k.wrapped
    FROM ledger.ledger_meta m
    LEFT JOIN (
        unnest(%s::text[], %s::int2[]) a(member_id, bucket)
        JOIN ledger.person_keys k ON k.member_id = a.member_id AND k.bucket = a.bucket
    ) ON true
    WHERE m.name = 'kek'
"""
"""The id of the key that wraps, beside each data key of these members; at least one row."""


def _whom(stream: str, buckets: int) -> Whom:
    return Whom(stream.removeprefix("member:"), bucket_of(stream, buckets))


def telling(command: Command, entries: Sequence[Entry], buckets: int) -> Telling | None:
    """What there is to keep of a command that made these events, if anything; or to destroy."""
    if command.erases:  # though it may be erased: what a restored backup brought goes again
        return Telling(_whom(command.streams()[0], buckets), 0, None, {}, erases=True)
    said = command.sealed()
    if not said:
        return None
    entry = next(each for each in entries if each.event.stream == "member")
    whom = _whom(entry.stream.name, buckets)
    return Telling(whom, entry.version, entry.event.occurred_at, said)


def digest_of(command: Command, asked: bytes, secrets: Secrets) -> bytes:
    """What tells two commands under one idempotency key apart, from one of them as it was asked.

    Keyed: a command may hold a phone number, and digests are kept. Of such a one the key is not in
    the database, where whoever has a copy of it could try all numbers.
    """
    if sealed := command.sealed():
        asked += to_json({name: value and Sealed.opened(value) for name, value in sealed.items()})
        return blake2b(asked, key=secrets.sealed_digests, digest_size=32).digest()
    return blake2b(asked, key=secrets.digest_key, digest_size=32).digest()


# ---------------------------------------------------------------------------------- looking
_ROWS = """
    SELECT p.field, p.sealed, p.bucket, p.stream_version, k.kek, k.wrapped, p.occurred_at,
        p.member_id
    FROM ledger.persons p
    LEFT JOIN ledger.person_keys k ON k.member_id = p.member_id AND k.bucket = p.bucket
"""


def person(connection: Connection[Any], member_id: str) -> Person:
    """Who a member is."""
    return people(connection, [member_id])[member_id]


def people(connection: Connection[Any], member_ids: Collection[str]) -> dict[str, Person]:
    """Who these members are, asked at once."""
    rows: dict[str, list[tuple[Any, ...]]] = {each: [] for each in member_ids}
    for row in _all(connection, [*rows]):
        rows[row[7]].append(row)
    return {each: _shown(_opened(each, his)) for each, his in rows.items()}


def names(
    connection: Connection[Any], member_ids: Collection[str] | None = None
) -> Iterator[tuple[str, str | None]]:
    """(member, name) of these, null of whom none is known now; else of all of whom one is. Leaves
    out those whose key is not here."""
    named, after = set[str](), ""
    while rows := connection.execute(
        f"SELECT DISTINCT ON (n.member_id, n.bucket) n.* FROM ({_ROWS}) n"
        " WHERE n.field = 'name' AND n.member_id > %(after)s"
        " AND (%(those)s::text[] IS NULL OR n.member_id = ANY(%(those)s))"
        " ORDER BY n.member_id, n.bucket, n.occurred_at DESC, n.stream_version DESC"
        " LIMIT %(some)s",
        {
            "after": after,
            "those": None if member_ids is None else [*member_ids],
            "some": NAMES_AT_ONCE,
        },
    ).fetchall():
        for row in rows:
            after = row[7]
            with suppress(KeyNotHere, Tampered):
                name = _opened(after, [row]).get("name")
                if name is not None:
                    named.add(after)
                    yield after, name
    yield from ((each, None) for each in member_ids or () if each not in named)


def in_full(connection: Connection[Any], member_id: str) -> dict[str, str]:
    """All that is known of who a member is, by field: for who was allowed to see it, once."""
    return _opened(member_id, _all(connection, [member_id]))


def tellings(connection: Connection[Any], member_id: str) -> list[tuple[str, str | None, datetime]]:
    """(field, value, from when it held) of all that was told, likewise in full."""
    rows = _all(connection, [member_id])
    return [(row[0], _opened(member_id, [row]).get(row[0]), row[6]) for row in rows]


def _all(connection: Connection[Any], member_ids: list[str]) -> list[tuple[Any, ...]]:
    return connection.execute(
        f"{_ROWS} WHERE p.member_id = ANY(%s) ORDER BY p.occurred_at, p.stream_version",
        (member_ids,),
    ).fetchall()


TOLD = """
    p.field,
    json_build_array(p.stream_version, p.occurred_at, k.kek, encode(k.wrapped, 'hex'))::text,
    p.sealed
    FROM ledger.persons p
    LEFT JOIN ledger.person_keys k ON k.member_id = p.member_id AND k.bucket = p.bucket
    WHERE p.member_id = %(member_id)s AND p.bucket = %(bucket)s AND NOT EXISTS (
        SELECT FROM ledger.stored_events x  -- though its tables were restored
        WHERE x.originator_id = %(stream)s AND x.topic = 'member.erased'
        AND x.notification_id > (%(positions)s::bigint[])[x.bucket + 1]
    )
"""
"""What was ever told of a member whom nothing behind these positions erases, as `reading.lives`
asks for it beside his events."""
_SAID = msgspec.json.Decoder(tuple[int, datetime, str | None, str | None]).decode


def person_then(
    whom: Whom, told: Iterable[tuple[str, str, bytes]], version: int, effective_at: datetime | None
) -> Person:
    """Who he was, of what was TOLD that which was told up to a version of his stream, which does
    not erase him, and held at a time."""
    rows = []
    for name, said, sealed in told:
        number, at, wrapped_by, wrapped = _SAID(said)
        if number <= version and (effective_at is None or at <= effective_at):
            key = wrapped and bytes.fromhex(wrapped)
            rows.append((at, number, (name, sealed, whom.bucket, number, wrapped_by, key)))
    rows.sort(key=itemgetter(0, 1))
    return _shown(_opened(whom.member_id, [row for _, _, row in rows]))


def members_with_phone(connection: Connection[Any], phone: Sealed, limit: int) -> list[str]:
    """The ids of the members whose number this is now."""
    blind = _blind(Secrets.of(meta(connection)), "phone", Sealed.opened(phone))
    found = connection.execute(
        "SELECT p.member_id FROM ledger.persons p WHERE p.blind = %s AND NOT EXISTS ("
        " SELECT FROM ledger.persons l WHERE l.member_id = p.member_id AND l.bucket = p.bucket"
        " AND l.field = p.field"
        " AND (l.occurred_at, l.stream_version) > (p.occurred_at, p.stream_version)"
        ") ORDER BY p.member_id LIMIT %s",
        (blind, limit),
    )
    return [row[0] for row in found]


def phone_of(text: str) -> Sealed | None:
    """The number that this is a spelling of, if it is one."""
    try:
        return _PHONE.validate_python(text)
    except ValidationError:
        return None


def _opened(member_id: str, rows: Iterable[Sequence[Any]]) -> dict[str, str]:
    """What the last of these rows that spoke of a field left, in the order in which they hold."""
    last = {row[0]: row for row in rows}
    found: dict[str, str] = {}
    keys: dict[bytes, bytes] = {}
    for name, sealed, bucket, version, wrapped_by, wrapped, *_ in last.values():
        if sealed and wrapped:  # without a key it was given up: docs/how-to/keys.md
            whom = Whom(member_id, bucket)
            if wrapped not in keys:
                keys[wrapped] = _unwrapped(whom, wrapped_by, wrapped)
            found[name] = decrypt(keys[wrapped], sealed, _place(whom, version, name)).decode()
    return found


def _shown(known: Mapping[str, str]) -> Person:
    return Person(known.get("name"), masked(known.get("phone")))


def rewrapped(whom: Whom, key_id: str, wrapped_by: str, wrapped: bytes) -> bytes:
    """A data key under another key-encryption key."""
    return KEYRING.wrap(key_id, _unwrapped(whom, wrapped_by, wrapped), _key_of(whom))


def _unwrapped(whom: Whom, wrapped_by: str, wrapped: bytes) -> bytes:
    return KEYRING.unwrap(wrapped_by, wrapped, _key_of(whom))


def _key_of(whom: Whom) -> str:
    """Where a data key belongs."""
    return f"key|{whom.bucket}|{whom.member_id}"


def _place(whom: Whom, version: int, name: str) -> str:
    """Where a value belongs."""
    return f"{name}|{whom.bucket}|{version}|{whom.member_id}"


def _blind(secrets: Secrets, name: str, text: str) -> bytes:
    return hmac.digest(secrets.lookups, f"{name}|{text}".encode(), "sha256")[:BLIND_BYTES]


def _hex(content: bytes) -> str:
    return f"\\x{content.hex()}"


def masked(phone: str | None) -> str | None:
    """A phone number with its middle hidden: enough to recognise, too little to call."""
    if phone is None:
        return None
    shown = PROGRAMME.phones.at_home(phone)
    hidden = max(3, len(shown) - 7)
    return shown[: len(shown) - hidden - 4] + "*" * hidden + shown[-4:]
