"""Arrays as PostgreSQL takes them in binary: psycopg's own cost more than the rules they carry."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from struct import Struct

from ledger.copying import microseconds

_HEAD = Struct(">iiIii").pack
_INT8 = partial(Struct(">iq").pack, 8)
_INT2 = partial(Struct(">ih").pack, 2)
_LENGTH = Struct(">i").pack
_NULL = _LENGTH(-1)
_EMPTY = Struct(">iiI").pack
_OID_BYTEA, _OID_INT8, _OID_INT2, _OID_TEXT, _OID_INSTANT = 17, 20, 21, 25, 1184


def _array(element: int, count: int, elements: Iterable[bytes]) -> bytes:
    """One dimension of so many elements, each with its length before it."""
    if not count:
        return _EMPTY(0, 0, element)
    return _HEAD(1, 1, element, count, 1) + b"".join(elements)


def int8s(values: Sequence[int]) -> bytes:
    """bigint[]"""
    return _array(_OID_INT8, len(values), map(_INT8, values))


def int2s(values: Sequence[int]) -> bytes:
    """smallint[]"""
    return _array(_OID_INT2, len(values), map(_INT2, values))


def instants(values: Sequence[datetime]) -> bytes:
    """timestamptz[]"""
    return _array(_OID_INSTANT, len(values), [_LENGTH(8) + microseconds(v) for v in values])


def byteas(values: Sequence[bytes]) -> bytes:
    """bytea[]"""
    return _array(_OID_BYTEA, len(values), [_LENGTH(len(value)) + value for value in values])


def texts(values: Sequence[str | None]) -> bytes:
    """text[], whose elements may be null"""
    said = [None if value is None else value.encode() for value in values]
    elements = [_NULL if value is None else _LENGTH(len(value)) + value for value in said]
    return _array(_OID_TEXT, len(said), elements)
