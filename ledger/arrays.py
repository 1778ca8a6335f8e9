"""Values as PostgreSQL takes them in binary: psycopg's own cost more than the rules they carry."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from struct import Struct
from typing import Any

_HEAD = Struct(">iiIii").pack
_INT8 = partial(Struct(">iq").pack, 8)
_INT2 = partial(Struct(">ih").pack, 2)
_LENGTH = Struct(">i").pack
_EIGHT = _LENGTH(8)
_EMPTY = Struct(">iiI").pack
_FIELD = Struct(">Ii").pack
_MICROS = Struct(">q").pack
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
BYTEA, INSTANT = 17, 1184
_INT8_, _INT2_, _TEXT = 20, 21, 25


def microseconds(value: datetime) -> bytes:
    """An instant as PostgreSQL holds it: microseconds since the year 2000, by integers alone."""
    since = value - _EPOCH
    return _MICROS((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def _array(element: int, count: int, elements: Iterable[bytes]) -> bytes:
    """One dimension of so many elements, each with its length before it."""
    if not count:
        return _EMPTY(0, 0, element)
    return _HEAD(1, 1, element, count, 1) + b"".join(elements)


def int8s(values: Sequence[int]) -> bytes:
    """bigint[]"""
    return _array(_INT8_, len(values), map(_INT8, values))


def int2s(values: Sequence[int]) -> bytes:
    """smallint[]"""
    return _array(_INT2_, len(values), map(_INT2, values))


def byteas(values: Sequence[bytes]) -> bytes:
    """bytea[]"""
    return _array(BYTEA, len(values), [_LENGTH(len(value)) + value for value in values])


def texts(values: Sequence[str]) -> bytes:
    """text[]"""
    said = [value.encode() for value in values]
    return _array(_TEXT, len(said), [_LENGTH(len(value)) + value for value in said])


def instants(values: Sequence[bytes]) -> bytes:
    """timestamptz[], of instants in microseconds."""
    return _array(INSTANT, len(values), [_EIGHT + value for value in values])


Kind = tuple[int, Callable[[Sequence[Any]], bytes]]
"""The type of an array as the server numbers it, and what writes one."""
INT2S: Kind = (1005, int2s)
INT8S: Kind = (1016, int8s)
TEXTS: Kind = (1009, texts)
BYTEAS: Kind = (1001, byteas)
INSTANTS: Kind = (1185, instants)


def field(kind: int, value: bytes | None) -> bytes:
    """A field of a composite value: its type, its length, itself, or null."""
    return _FIELD(kind, -1) if value is None else _FIELD(kind, len(value)) + value


def composite(fields: Sequence[bytes]) -> bytes:
    """A value of a composite type."""
    return _LENGTH(len(fields)) + b"".join(fields)
