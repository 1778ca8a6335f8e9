"""Rows of PostgreSQL's binary COPY, written by hand: psycopg's own cost more than the rules."""

from datetime import UTC, datetime
from functools import partial
from struct import Struct

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_INT64 = Struct(">iq").pack
_MICROS = Struct(">q").pack
_INT32 = Struct(">i").pack
_INT16 = Struct(">ih").pack

columns = Struct(">h").pack
"""What begins a row: how many columns follow."""

int8 = partial(_INT64, 8)
"""A bigint."""


def int2(value: int) -> bytes:
    """A smallint."""
    return _INT16(2, value)


def binary(value: bytes) -> bytes:
    """A bytea."""
    return _INT32(len(value)) + value


def text(value: str | None) -> bytes:
    """A text, or null."""
    return _INT32(-1) if value is None else binary(value.encode())


def microseconds(value: datetime) -> bytes:
    """An instant as PostgreSQL holds it: microseconds since the year 2000, by integers alone."""
    since = value - _EPOCH
    return _MICROS((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def timestamptz(value: datetime) -> bytes:
    """An instant."""
    return binary(microseconds(value))
